"""What is wanted at each bar: strategies, what they are made of, and where their code is."""

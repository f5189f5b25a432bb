"""What a target exposure does to an account: orders, exits, costs, sizing, portfolios."""

"""The names of columns and reasons in the arrays of trades and fills; whoever reads them needs no kernels."""

TRADE_COLUMNS = (
    "instrument", "entry_bar", "exit_bar", "entry_price", "exit_price", "size", "pnl", "fees", "exit_reason",
)  # fmt: skip
EXIT_REASONS = (
    "signal", "stop_loss", "take_profit", "trailing_stop", "max_holding_bars", "margin_call", "max_drawdown_stop",
    "ruin", "open", "delisted",
)  # fmt: skip
FILL_COLUMNS = ("instrument", "bar", "size", "price", "fee", "reason", "position")
FILL_REASONS = (*EXIT_REASONS, "rebalance")

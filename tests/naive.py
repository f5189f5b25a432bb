"""An independent, slow and obvious simulator, written from docs/engine.md. It shares no code with engine/."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 1e-12  # of a price level


def reaches(price: float, level: float, direction: int) -> bool:
    """Whether a price is at a level or beyond it, seen upwards (1) or downwards (-1)."""
    return direction * (level - price) <= TOLERANCE * abs(level) if math.isfinite(level) else False


@dataclass
class Position:
    """What is held of one instrument."""

    quantity: float = 0.0
    acted: float = 0.0  # the target last acted upon
    unfinished: bool = False
    why: str = "signal"  # the order that is unfinished
    entered: int = 0
    best: float = 0.0
    rungs: list[int] = field(default_factory=list)  # that have been passed, and what they took together
    taken: float = 0.0
    fills: list[tuple[float, float]] = field(default_factory=list)  # (change, paid)
    cash_flow: float = 0.0
    fees: float = 0.0

    @property
    def entry_price(self) -> float:
        side = [(abs(change), paid) for change, paid in self.fills if change * self.fills[0][0] > 0]
        return sum(size * paid for size, paid in side) / sum(size for size, _ in side)


class Simulator:
    """Trades k instruments with shared cash: for each a dict of columns, and a list of targets."""

    def __init__(
        self,
        bars: list[dict[str, list[float]]],
        targets: list[list[float]],
        account: Any,
        periods: float,
        levels: list[dict[str, list[float]]] | None = None,  # of each: stop, take_profit, trailing; of one: entry_...
        ladders: list[list[tuple[list[float], float]]] | None = None,  # of each: prices, and the share sold there
        contracts: list[Any] | None = None,  # an account for each instrument, for multiplier, tick and fee
        detail: list[list[tuple[float, float, float]]] | None = None,  # of one instrument: in each bar open, high, low
        times: list[int] | None = None,  # of the bars
        dues: list[list[tuple[int, str, float]]] | None = None,  # of each: when, "dividends" or "funding", how much
    ):
        self.times, self.dues = times or [], dues or []
        self.detail = detail or []
        self.waits: dict[str, Any] | None = None  # an entry order that this bar has not filled so far
        self.levels = levels or [{} for _ in bars]
        self.ladders = ladders or [[] for _ in bars]
        self.entered_inside = ""  # "limit" or "stop" in the bar in which such an order was filled after the open
        self.is_limit = False  # the order that is being filled
        self.bars, self.targets, self.a, self.periods = bars, targets, account, periods
        self.k, self.n = len(bars), len(bars[0]["close"])
        self.gone = [max((t for t in range(self.n) if self.here(i, t)), default=self.n) for i in range(self.k)]
        self.contracts = contracts or [account] * self.k
        self.fee = account.fee_bps / 10_000
        self.slip = (account.slippage_bps + account.spread_bps / 2) / 10_000
        self.cash = account.initial_cash
        self.positions = [Position() for _ in bars]
        self.equity: list[float] = []
        self.trades: list[dict[str, Any]] = []
        self.fills: list[dict[str, Any]] = []
        self.fees_paid = self.traded = self.financing = 0.0

    # a hole is a bar whose prices are None: nothing happens there, and what is held is worth its last close

    def here(self, i: int, t: int) -> bool:
        return self.bars[i]["close"][t] is not None

    def pieces(self, t: int) -> list[dict[str, float]]:
        """The finer bars of a bar of one instrument, in order; the bar itself where it has none."""
        rows = self.detail[t] if self.detail else []
        whole = {name: self.bars[0][name][t] for name in ("open", "high", "low")}
        return [dict(zip(("open", "high", "low"), row, strict=True)) for row in rows] or [whole]

    def range(self, i: int, t: int) -> dict[str, float]:
        return self.piece if self.k == 1 else {name: self.bars[i][name][t] for name in ("open", "high", "low")}

    def price(self, i: int, column: str, t: int) -> float:
        if self.here(i, t):
            return self.bars[i][column][t]
        return next((self.bars[i]["close"][s] for s in range(t - 1, -1, -1) if self.here(i, s)), 0.0)

    def pay_out_delisted(self, t: int) -> None:
        for i, p in enumerate(self.positions):
            if p.quantity != 0 and t > self.gone[i] and not self.here(i, t):
                self.pay_out(i, t, "delisted")

    def pay_out(self, i: int, t: int, reason: str) -> None:
        """Taken away at its last close, without costs."""
        p, value = self.positions[i], self.worth(i, t)
        self.cash += value
        change, p.quantity = -p.quantity, 0.0
        self.note_fill(i, t, change, self.price(i, "close", t), 0.0, reason)
        self.note_trade(i, t, reason, value)

    # what a fill costs

    def level(self, i: int, name: str, known: int) -> float:
        return self.levels[i][name][known] if name in self.levels[i] and known >= 0 else math.nan

    def tick(self, i: int, price: float, up: bool) -> float:
        size = self.contracts[i].tick_size
        if size == 0 or not math.isfinite(price):
            return price
        ticks = price / size
        if abs(ticks - round(ticks)) < 1e-6:
            return float(round(ticks) * size)
        return float((math.ceil(ticks) if up else math.floor(ticks)) * size)

    def paid(self, i: int, change: float, price: float) -> float:
        if not self.is_limit:
            price = price * (1 + self.slip) if change > 0 else price * (1 - self.slip)
        return max(self.tick(i, price, change > 0), self.contracts[i].tick_size)

    def value(self, i: int, quantity: float, price: float) -> float:
        return float(quantity * self.contracts[i].multiplier * price)

    def fee_of(self, i: int, value: float, quantity: float) -> float:
        per_contract = self.contracts[i].fee_per_contract
        return max(self.a.min_fee, self.a.fixed_fee + self.fee * value + per_contract * quantity)

    def fill(self, i: int, t: int, change: float, paid: float, reason: str) -> None:
        p = self.positions[i]
        value = self.value(i, abs(change), paid)
        if p.quantity == 0:
            p.entered, p.best, p.fills = t, paid, []
        p.fills.append((change, paid))
        fee = self.fee_of(i, value, abs(change))
        flow = -self.value(i, change, paid) - fee
        p.quantity = 0.0 if change == -p.quantity else p.quantity + change
        p.cash_flow += flow
        p.fees += fee
        self.cash += flow
        self.fees_paid += fee
        self.traded += value
        self.note_fill(i, t, change, paid, fee, reason)

    def note_fill(self, i: int, t: int, change: float, paid: float, fee: float, reason: str) -> None:
        units = self.contracts[i].multiplier  # the engine's table is in units
        row = (i, t, change * units, paid, fee, reason, self.positions[i].quantity * units)
        names = ("instrument", "bar", "size", "price", "fee", "reason", "position")
        self.fills.append(dict(zip(names, row, strict=True)))

    def note_trade(self, i: int, t: int, reason: str, open_value: float = 0.0) -> None:
        p = self.positions[i]
        first = p.fills[0][0]
        size = sum(change for change, _ in p.fills if change * first > 0)
        sold = sum(abs(change) * paid for change, paid in p.fills if change * first < 0)
        self.trades.append(
            {
                "instrument": i,
                "entry_bar": p.entered,
                "exit_bar": t,
                "entry_price": p.entry_price,
                "exit_price": (sold + abs(open_value) / self.contracts[i].multiplier) / abs(size),
                "size": size * self.contracts[i].multiplier,  # the engine's table is in units
                "pnl": p.cash_flow + open_value,
                "fees": p.fees,
                "exit_reason": reason,
            }
        )
        self.positions[i] = Position(acted=p.acted)

    def leave(self, i: int, t: int, paid: float, reason: str) -> None:
        self.fill(i, t, -self.positions[i].quantity, paid, reason)
        self.note_trade(i, t, reason)

    # orders

    def orders(self, t: int, known: int, column: str) -> None:
        prices = [self.price(i, column, t) for i in range(self.k)]
        for shrinking in (True, False):
            for i in range(self.k):
                target = self.targets[i][known] if known >= 0 else 0.0
                if not self.is_due(i, t, target) or not self.here(i, t):
                    continue
                opens = target != 0 and self.positions[i].quantity * target <= 0
                at = {name: self.level(i, name, known) for name in ("entry_limit", "entry_stop")}
                if column == "open" and opens and not all(math.isnan(level) for level in at.values()):
                    if not shrinking:
                        self.work_entry(t, known, target, **at)
                else:
                    self.order(i, t, known, target, prices, shrinking)

    def work_entry(self, t: int, known: int, target: float, entry_limit: float, entry_stop: float) -> None:
        bar = self.piece
        if self.positions[0].quantity != 0:
            self.order(0, t, known, 0.0, [bar["open"]], True)
        p = self.positions[0]
        p.acted = 0.0
        if p.quantity != 0:
            return
        p.unfinished = False
        long, is_limit = target > 0, not math.isnan(entry_limit)
        below = long == is_limit  # a buyer's limit lies below the market, his stop order above
        level = self.tick(0, entry_limit if is_limit else entry_stop, up=not below)

        def passed(price: float) -> bool:
            return price <= level * (1 + TOLERANCE) if below else price >= level * (1 - TOLERANCE)

        if passed(bar["open"]):
            price = bar["open"]
        elif passed(bar["low" if below else "high"]):
            price, self.entered_inside = level, "limit" if is_limit else "stop"
        else:
            levels = {"entry_limit": entry_limit, "entry_stop": entry_stop}
            self.waits = {"t": t, "known": known, "target": target, **levels}
            return
        self.is_limit = is_limit
        self.resize(0, t, known, target, [price], False)
        self.is_limit = False

    def is_due(self, i: int, t: int, target: float) -> bool:
        p = self.positions[i]
        too_old = self.a.max_holding_bars > 0 and t >= p.entered + self.a.max_holding_bars
        watched = p.quantity != 0 and (self.a.rebalance_threshold > 0 or too_old)
        return target != p.acted or p.unfinished or watched

    def order(self, i: int, t: int, known: int, target: float, prices: list[float], shrinking: bool) -> None:
        p = self.positions[i]
        same_side = p.quantity * target > 0
        old_enough = self.a.max_holding_bars > 0 and t >= p.entered + self.a.max_holding_bars
        if same_side and old_enough:
            p.acted = target
            self.leave(i, t, self.paid(i, -p.quantity, prices[i]), "max_holding_bars")
            return
        if p.quantity != 0 and not same_side:
            if not shrinking:
                return
            p.acted = target
            self.send(i, t, -p.quantity, prices[i], "signal")
            p = self.positions[i]
            if target != 0:
                p.unfinished, p.why = True, "signal"
            return  # the other side is opened in the second round
        if target == 0:
            p.acted = 0.0
            return
        self.resize(i, t, known, target, prices, shrinking)

    def resize(self, i: int, t: int, known: int, target: float, prices: list[float], shrinking: bool) -> None:
        p = self.positions[i]
        side = 1 if target > 0 else -1
        values = [self.value(j, q.quantity, prices[j]) for j, q in enumerate(self.positions)]
        equity = self.cash + sum(values)
        gross_others = sum(abs(value) for j, value in enumerate(values) if j != i)
        wanted = self.lots(
            (1 - p.taken) * self.wanted(i, known, target, self.paid(i, side, prices[i]), equity, gross_others)
        )
        reduces = wanted < abs(p.quantity)
        if reduces != shrinking:
            return
        if reduces:
            again = self.wanted(i, known, target, self.paid(i, -side, prices[i]), equity, gross_others)
            wanted = min(self.lots((1 - p.taken) * again), abs(p.quantity))
        kept = p.quantity != 0 and target == p.acted and not (p.unfinished and p.why == "signal")
        p.acted, p.unfinished = target, False
        change = side * wanted - p.quantity
        least = self.a.rebalance_threshold * equity if p.quantity != 0 else 0.0
        if self.value(i, abs(change), prices[i]) <= least + TOLERANCE * abs(equity):
            return
        self.send(i, t, change, prices[i], "rebalance" if kept else "signal")

    def send(self, i: int, t: int, change: float, price: float, reason: str) -> None:
        p = self.positions[i]
        p.unfinished = False
        paid = self.paid(i, change, price)
        if change != -p.quantity and self.value(i, abs(change), paid) < self.a.min_notional * (1 - TOLERANCE):
            return
        size = abs(change)
        if self.a.max_volume_share > 0:
            most = self.a.max_volume_share * self.bars[i]["volume"][t]
            if size - most > TOLERANCE * size:
                size, p.unfinished, p.why = self.lots(most), True, reason
        if size > 0:
            closes = math.copysign(size, change) == -p.quantity
            self.fill(i, t, math.copysign(size, change), paid, "signal" if closes else reason)
            if p.quantity == 0:
                self.note_trade(i, t, "signal")

    def lots(self, quantity: float) -> float:
        lot = self.a.lot_size
        return quantity if lot == 0 else math.floor(quantity / lot + 1e-9) * lot

    def affordable(self, i: int, budget: float, paid: float) -> float:
        worth, per_contract = self.value(i, 1.0, paid), self.contracts[i].fee_per_contract
        quantity = (budget - self.a.fixed_fee) / (worth * (1 + self.fee) + per_contract)
        if self.a.fixed_fee + self.fee * quantity * worth + per_contract * quantity < self.a.min_fee:
            quantity = (budget - self.a.min_fee) / worth
        return max(quantity, 0.0)

    def wanted(self, i: int, known: int, target: float, paid: float, equity: float, gross_others: float) -> float:
        a, w = self.a, abs(target)
        most = self.affordable(i, max(a.max_leverage * equity - gross_others, 0.0), paid)
        if a.risk_per_trade > 0:
            sign = 1 if target > 0 else -1
            stops = [paid * (1 - sign * x) for x in (a.stop_pct, a.trailing_stop_pct) if x > 0]
            stops += [self.level(i, "stop", known), paid - sign * self.level(i, "trailing", known)]
            tightest = (max if target > 0 else min)(level for level in stops if not math.isnan(level))
            was_limit, self.is_limit = self.is_limit, False  # a stop is a market order
            left = self.paid(i, -sign, self.tick(i, tightest, up=target < 0))
            self.is_limit = was_limit
            if target > 0:
                loss = paid * (1 + self.fee) - left * (1 - self.fee)
            else:
                loss = left * (1 + self.fee) - paid * (1 - self.fee)
            loss = loss * self.contracts[i].multiplier + 2 * self.contracts[i].fee_per_contract
            if loss <= 0:
                return 0.0
            return min(w * a.risk_per_trade * max(equity, 0.0) / loss, most)
        budget = w * equity
        if a.fixed_fraction > 0:
            budget = w * a.fixed_fraction * equity
        if a.fixed_cash > 0:
            budget = w * a.fixed_cash
        if a.volatility_target > 0:
            budget = w * equity * self.scale(i, known)
        return min(self.affordable(i, budget, paid), most)

    def scale(self, i: int, known: int) -> float:
        window = self.a.volatility_window
        close = [self.price(i, "close", t) for t in range(self.n)]
        if known < window or close[known - window] == 0.0:  # not listed so long
            return 0.0
        returns = [close[t] / close[t - 1] - 1 for t in range(known - window + 1, known + 1)]
        mean = math.fsum(returns) / window
        sigma = math.sqrt(math.fsum((r - mean) ** 2 for r in returns) / (window - 1)) * math.sqrt(self.periods)
        return self.a.volatility_target / sigma if sigma > 0 else 0.0

    # exits inside the bar

    def exit_levels(self, i: int, t: int) -> tuple[float, str, float]:
        p = self.positions[i]
        long = p.quantity > 0
        stops: list[tuple[float, str]] = []
        sign = 1 if long else -1
        if self.a.stop_pct > 0:
            stops.append((p.entry_price * (1 - sign * self.a.stop_pct), "stop_loss"))
        if self.a.trailing_stop_pct > 0:
            stops.append((p.best * (1 - sign * self.a.trailing_stop_pct), "trailing_stop"))
        if self.a.maintenance_margin > 0 and self.k == 1:
            m = self.a.maintenance_margin
            level = -self.cash / (self.value(i, p.quantity, 1.0) * (1 - sign * m))
            if level > 0:
                stops.append((level, "margin_call"))
        stops.append((self.level(i, "stop", t - 1), "stop_loss"))
        stops.append((p.best - sign * self.level(i, "trailing", t - 1), "trailing_stop"))
        stops = [(self.tick(i, level, up=not long), why) for level, why in stops if not math.isnan(level)]
        stop, reason = (-math.inf if long else math.inf), ""
        for level, why in stops:  # a tighter one, by more than rounding
            if sign * (level - stop) > TOLERANCE * level:
                stop, reason = level, why
        take = p.entry_price * (1 + sign * self.a.take_profit_pct) if self.a.take_profit_pct > 0 else sign * math.inf
        take = self.tick(i, take, up=long)
        own_take = self.tick(i, self.level(i, "take_profit", t - 1), up=long)
        if not math.isnan(own_take):
            take = min(take, own_take) if long else max(take, own_take)
        return stop, reason, take

    def entered_at(self, i: int, t: int) -> float:
        """The price of the market when the entry order was filled inside bar t."""
        p = self.positions[i]
        if self.entered_inside == "stop":
            return self.tick(i, self.level(i, "entry_stop", t - 1), up=p.quantity > 0)
        return p.entry_price

    def exits(self, i: int, t: int) -> None:
        if not self.here(i, t):
            return
        if self.ladders[i]:
            self.climb(i, t)
        p = self.positions[i]
        if p.quantity == 0:
            return
        long = p.quantity > 0
        sign = 1 if long else -1
        open_, low, high = (self.range(i, t)[name] for name in ("open", "low", "high"))
        stop, reason, take = self.exit_levels(i, t)
        worst, best = (low, high) if long else (high, low)

        if self.entered_inside:
            stopped, taken = reaches(worst, stop, -sign), reaches(best, take, sign)
            if self.a.intrabar == "best":
                stopped = stopped and not taken and self.entered_inside == "limit"
            else:
                taken = taken and not stopped and self.entered_inside == "stop"
            entry = self.entered_at(i, t)
            if stopped:
                self.leave(i, t, self.paid(i, -p.quantity, min(stop, entry) if long else max(stop, entry)), reason)
            elif taken:
                self.leave(i, t, max(take, entry) if long else min(take, entry), "take_profit")
        elif reaches(open_, stop, -sign):
            self.leave(i, t, self.paid(i, -p.quantity, open_), reason)
        elif reaches(open_, take, sign):
            self.leave(i, t, self.tick(i, open_, up=not long), "take_profit")
        elif self.a.intrabar == "best" and reaches(best, take, sign):
            self.leave(i, t, take, "take_profit")
        elif reaches(worst, stop, -sign):
            self.leave(i, t, self.paid(i, -p.quantity, stop), reason)
        elif reaches(best, take, sign):
            self.leave(i, t, take, "take_profit")

    # the ladder

    def climb(self, i: int, t: int) -> None:
        p = self.positions[i]
        if p.quantity == 0:
            return
        sign = 1 if p.quantity > 0 else -1
        open_, low, high = (self.range(i, t)[name] for name in ("open", "low", "high"))
        worst, best = (low, high) if sign > 0 else (high, low)
        stop, _, _ = self.exit_levels(i, t)
        if not self.entered_inside:
            if reaches(open_, stop, -sign):
                return
            self.take_rungs(i, t, open_, open_)
            if self.positions[i].quantity == 0:
                return
            stop, _, _ = self.exit_levels(i, t)  # with less borrowed the margin call is farther away
        start = self.entered_at(i, t) if self.entered_inside else open_
        surely = self.entered_inside != "limit" and not reaches(worst, stop, -sign)
        if surely or self.a.intrabar == "best":
            self.take_rungs(i, t, best, start)

    def take_rungs(self, i: int, t: int, reached: float, start: float) -> None:
        p = self.positions[i]
        sign = 1 if p.quantity > 0 else -1
        _, _, take = self.exit_levels(i, t)
        found = []
        for k, (prices, share) in enumerate(self.ladders[i]):
            level = self.tick(i, prices[t - 1], up=sign > 0)
            beyond = math.isfinite(take) and sign * (level - take) > TOLERANCE * level
            if k not in p.rungs and not math.isnan(level) and reaches(reached, level, sign) and not beyond:
                found.append((sign * level, k, share))
        for height, k, share in sorted(found):
            if self.positions[i].quantity == 0:
                return
            price = max(height, sign * start) * sign
            paid = self.tick(i, price, up=sign < 0)
            left = 1 - p.taken
            p.rungs.append(k)
            p.taken += share
            if share > left - 1e-9:
                self.leave(i, t, paid, "take_profit")
                continue
            size = self.lots(abs(p.quantity) * share / left)
            if size > 0 and self.value(i, size, paid) >= self.a.min_notional * (1 - TOLERANCE):
                self.fill(i, t, -sign * size, paid, "take_profit")

    def holding_costs(self, t: int) -> None:
        close = [self.price(i, "close", t) for i in range(self.k)]
        debt = max(-self.cash, 0.0)
        long_value = sum(max(self.value(i, p.quantity, close[i]), 0.0) for i, p in enumerate(self.positions))
        for i, p in enumerate(self.positions):
            if p.quantity == 0:
                continue
            value = self.value(i, p.quantity, close[i])
            share = value / long_value * debt if value > 0 else 0.0
            cost = self.a.borrow_bps / 10_000 * (max(-value, 0.0) + share) + self.a.funding_bps / 10_000 * value
            p.cash_flow -= cost
            self.cash -= cost
            self.financing += cost

    def pay_holders(self, t: int) -> None:
        """What fell due since the open of the instrument's bar before."""
        for i, (p, dues) in enumerate(zip(self.positions, self.dues, strict=False)):
            if p.quantity == 0 or not self.here(i, t):
                continue
            before = max((self.times[s] for s in range(t) if self.here(i, s)), default=-1)
            for when, kind, amount in dues:
                if before < when <= self.times[t] and not math.isnan(amount):
                    unit = amount if kind == "dividends" else -amount * self.bars[i]["open"][t]
                    paid = self.value(i, p.quantity, unit)
                    p.cash_flow += paid
                    self.cash += paid
                    self.financing -= paid

    def see(self, t: int) -> None:
        """Note the best price that each position has seen."""
        for i, p in enumerate(self.positions):
            if p.quantity != 0 and not self.entered_inside and self.here(i, t):
                extreme = self.range(i, t)["high" if p.quantity > 0 else "low"]
                p.best = max(p.best, extreme) if p.quantity > 0 else min(p.best, extreme)

    # the loop

    def mark(self, t: int) -> float:
        return self.cash + sum(self.worth(i, t) for i in range(self.k))

    def worth(self, i: int, t: int) -> float:
        return self.value(i, self.positions[i].quantity, self.price(i, "close", t))

    def close_all(self, t: int, column: str, reason: str) -> None:
        for i, p in enumerate(self.positions):
            if p.quantity != 0 and self.here(i, t):
                self.leave(i, t, self.paid(i, -p.quantity, self.bars[i][column][t]), reason)
            elif p.quantity != 0 and reason == "max_drawdown_stop":  # the end: nothing is held beyond it
                self.pay_out(i, t, reason)

    def stop_for_good(self, t: int) -> None:
        if self.cash < 0:
            self.trades[-1]["pnl"] -= self.cash
            self.cash = 0.0
        self.equity = self.equity[:t] + [self.cash] * (self.n - t)

    def run(self) -> Simulator:
        on_close = self.a.trade_on == "close"
        peak = self.a.initial_cash
        margin_called = False
        for t in range(self.n):
            self.pay_holders(t)
            if not on_close:
                self.pay_out_delisted(t)
            if not on_close and margin_called:
                self.close_all(t, "open", "margin_call")
                margin_called = False
            for number, piece in enumerate(self.pieces(t)):
                self.piece, self.entered_inside = piece, ""
                waits, self.waits = self.waits, None
                if number == 0 and not on_close:
                    self.orders(t, t - 1, "open")
                elif number > 0 and waits is not None:
                    self.work_entry(**waits)
                for i in range(self.k):
                    self.exits(i, t)
                self.see(t)
            self.holding_costs(t)
            if on_close:
                self.pay_out_delisted(t)
                self.orders(t, t, "close")
            self.equity.append(self.mark(t))
            if self.equity[t] <= 0:
                for i, p in enumerate(self.positions):
                    if p.quantity != 0:
                        self.pay_out(i, t, "ruin")
                self.stop_for_good(t)
                return self
            d = self.a.max_drawdown_stop
            if d > 0 and self.equity[t] <= peak * (1 - d) * (1 + TOLERANCE):
                held = any(p.quantity != 0 for p in self.positions)
                end = t + 1 if held and not on_close else t
                if end < self.n:
                    self.close_all(end, "close" if on_close else "open", "max_drawdown_stop")
                    self.stop_for_good(end)
                    return self
            peak = max(peak, self.equity[t])
            gross = sum(abs(self.worth(i, t)) for i in range(self.k))
            if self.k > 1 and gross > 0 and self.equity[t] <= (self.a.maintenance_margin + TOLERANCE) * gross:
                if on_close:
                    self.close_all(t, "close", "margin_call")
                    self.equity[t] = self.mark(t)
                margin_called = not on_close
        for i, p in enumerate(self.positions):
            if p.quantity != 0:
                self.note_trade(i, self.n - 1, "open", self.worth(i, self.n - 1))
        return self

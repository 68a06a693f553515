"""Draws docs/market-stylised-facts.svg: the properties that modelled prices share with real ones.

Run ``python docs/plot_market.py`` with the plugin and Matplotlib installed. It draws the same picture each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pytest_nos_stress.market import Market

SESSION = 23_400.0
SESSIONS = 5_001
SEED = 1
MODEL, WALK = "#1f6f8b", "#b0b0b0"
PICTURE = Path(__file__).with_name("market-stylised-facts.svg")


def main() -> None:
    """Draw the picture."""
    mpl.rcParams.update(
        {
            "svg.hashsalt": "market",
            "svg.fonttype": "none",
            "font.size": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    returns = session_returns()
    walk = np.random.Generator(np.random.Philox(SEED)).standard_normal(len(returns)) * returns.std()
    panels = figure.subplots(3, 2).ravel()
    draw_returns(panels[0], returns, walk)
    draw_memory(panels[1], returns, walk)
    draw_tails(panels[2], returns, walk)
    draw_leverage(panels[3], returns)
    draw_day(panels[4])
    draw_crash(panels[5])
    figure.savefig(PICTURE, metadata={"Date": None})


def session_returns() -> Any:
    """Return the logarithmic returns of trading sessions, from close to close."""
    bars = Market(["AAPL"], seed=SEED, clock=lambda: 0.0).bars("AAPL", SESSIONS, SESSION, until=SESSIONS * SESSION)
    return np.diff(np.log([bar.close for bar in bars]))


def draw_returns(panel: Any, returns: Any, walk: Any) -> None:
    """Draw calm and volatile times."""
    panel.plot(100 * walk[:1000] - 15, color=WALK, linewidth=0.5)
    panel.plot(100 * returns[:1000], color=MODEL, linewidth=0.5)
    panel.set(title="Volatility clusters (lower curve: a random walk)", xlabel="session", ylabel="return in %")


def draw_memory(panel: Any, returns: Any, walk: Any) -> None:
    """Draw autocorrelations: absolute returns are correlated, returns are not."""
    lags = range(1, 101)
    for series, colour, label in (
        (np.abs(returns), MODEL, "absolute returns"),
        (returns, "#e07a5f", "returns"),
        (np.abs(walk), WALK, "absolute returns of a random walk"),
    ):
        panel.plot(
            lags, [correlation(series, series, lag) for lag in lags], color=colour, linewidth=0.9, label=label
        )
    panel.set(
        title="Sizes of moves are correlated, directions are not",
        xlabel="lag in sessions",
        ylabel="autocorrelation",
    )
    panel.legend(frameon=False)


def draw_tails(panel: Any, returns: Any, walk: Any) -> None:
    """Draw the share of moves larger than a size."""
    for series, colour, label in ((returns, MODEL, "model"), (walk, WALK, "normal")):
        sizes = np.sort(np.abs(series) / returns.std())[::-1][:2000]
        panel.loglog(sizes, np.arange(1, len(sizes) + 1) / len(series), color=colour, label=label)
    panel.set(
        title="Tails are fat", xlabel="size of a move in standard deviations", ylabel="share of larger moves"
    )
    panel.legend(frameon=False)


def draw_leverage(panel: Any, returns: Any) -> None:
    """Draw the leverage effect: volatility follows falls."""
    lags = range(1, 31)
    panel.bar(lags, [correlation(returns, returns**2, lag) for lag in lags], color=MODEL)
    panel.axhline(0.0, color="black", linewidth=0.5)
    panel.set(title="Volatility rises after falls", xlabel="lag in sessions", ylabel="corr(r, later r²)")


def draw_day(panel: Any) -> None:
    """Draw volume and volatility over a trading day."""
    market, sessions = Market(["AAPL"], seed=SEED, clock=lambda: 0.0), 200
    bars = market.bars("AAPL", 39 * sessions, 600.0, until=(sessions - 30) * SESSION - 3600.0)
    moves = np.abs(np.log([bar.close / bar.open for bar in bars])).reshape(sessions, 39).mean(axis=0)
    volume = np.array([bar.volume for bar in bars]).reshape(sessions, 39).mean(axis=0)
    hours = (np.arange(39) + 0.5) / 6
    panel.plot(hours, volume / volume.min(), color=MODEL, label="volume")
    panel.plot(hours, moves / moves.min(), color="#e07a5f", label="absolute return")
    panel.set(
        title="Open and close are busy",
        xlabel="hours since the open",
        ylabel="multiple of the lowest",
        ylim=(0, None),
    )
    panel.legend(frameon=False)


def draw_crash(panel: Any) -> None:
    """Draw a flash crash with its trading halts."""
    market = Market(["AAPL", "MSFT", "TSLA"], seed=SEED, clock=lambda: 0.0, events=["flash_crash"])
    seconds = np.arange(-300, 1800, 5)
    for symbol, colour in zip(market.symbols, (MODEL, "#e07a5f", "#81b29a"), strict=True):
        before = market.quote_at(symbol, 0.0).last
        quotes = [100 * market.quote_at(symbol, float(second)).last / before for second in seconds]
        panel.plot(seconds / 60, quotes, color=colour, linewidth=0.9, label=symbol)
    panel.set(
        title="A flash crash; flat where trading is halted", xlabel="minutes", ylabel="price, 100 at the start"
    )
    panel.legend(frameon=False)


def correlation(earlier: Any, later: Any, lag: int) -> float:
    """Return the correlation of a series with the values of another series ``lag`` periods later."""
    return float(np.corrcoef(earlier[:-lag], later[lag:])[0, 1])


if __name__ == "__main__":
    main()

"""Runs that somebody measured, in whichever form -> a table of rows by column; which rows one fit may see."""

from __future__ import annotations

from scaling_report.sources.opening import open_table
from scaling_report.sources.runs import Runs, select_runs
from scaling_report.sources.table import Table

__all__ = ["Runs", "Table", "open_table", "select_runs"]

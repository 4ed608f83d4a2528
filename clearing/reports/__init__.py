"""End-of-day reports and the reconciliation of journal, settlements and ledger. Read only; they decide nothing."""

from clearing.reports.breaks import Break, Reconciled
from clearing.reports.days import Day
from clearing.reports.model import DayReport, of_participant
from clearing.reports.reconcile import Reconciliation

__all__ = ["Break", "Day", "DayReport", "Reconciled", "Reconciliation", "of_participant"]

"""What is wrong with an installation before anybody notices: `examine(settings)`; each finding has its fix."""

from clearing.doctor.examine import examine
from clearing.doctor.finding import Finding, Verdict

__all__ = ["Finding", "Verdict", "examine"]

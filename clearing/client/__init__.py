"""What a bank or a ledger imports.

from clearing.client import Bank

async with Bank("localhost:9092", "ALPHHKHH", "hk") as bank:
    await bank.pay("BETAHKHH", "HKD", "12.50")
    async for status in bank.statuses():
        print(status.id, status.status, status.reason)

A cluster with TLS and logins: Bank(…, secured=Security("sasl_ssl", ca="ca.pem", user="ALPHHKHH", password=…)).

from clearing.client import settlements

async for offset, batch in settlements("localhost:9092", "hk"):
    print(batch.id, batch.asset, batch.entries)
"""

from clearing.client.bank import Bank, UnknownParticipant
from clearing.client.following import Answer, Request, Status, Told
from clearing.client.orders import dvp, pvp
from clearing.client.settlements import BrokenChain, settlements
from clearing.security import Security

__all__ = [
    "Answer",
    "Bank",
    "BrokenChain",
    "Request",
    "Security",
    "Status",
    "Told",
    "UnknownParticipant",
    "dvp",
    "pvp",
    "settlements",
]

"""SQL of the PostgreSQL ledger, in the order in which a posting uses it. Parameters: clearing.ledgers.postgres."""

TAKE_OWNERSHIP = """
INSERT INTO clearing.progress AS p (ledger, netting_set, topic, partition, owner, epoch, hash)
VALUES ($1, $2, $3, $4, $5, coalesce($6::bigint, 0) + 1, $7)
ON CONFLICT (ledger, netting_set) DO UPDATE
SET owner = excluded.owner, epoch = greatest(p.epoch, $6::bigint) + 1, owned_at = now()
WHERE $6::bigint IS NULL OR p.epoch <= $6::bigint
RETURNING p.*"""
LOCK_PROGRESS = """
SELECT epoch, owner, next_offset, sequence, hash FROM clearing.progress
WHERE ledger = $1 AND netting_set = $2 FOR UPDATE"""
ADVANCE = """
UPDATE clearing.progress SET next_offset = $3, sequence = $4, hash = $5, read_at = now()
WHERE ledger = $1 AND netting_set = $2
RETURNING *"""
KNOWN = """
SELECT id, hash FROM clearing.batches WHERE id = ANY($1::text[])"""
DECLARE_ASSET = """
WITH new AS (
    INSERT INTO clearing.assets (ledger, netting_set, asset, scale) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING scale
)
SELECT scale FROM new
UNION ALL
SELECT scale FROM clearing.assets WHERE (ledger, netting_set, asset) = ($1, $2, $3)"""
OPEN_ACCOUNTS = """
INSERT INTO clearing.accounts AS a (ledger, netting_set, asset, participant, overdraft)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[])
ON CONFLICT (ledger, netting_set, asset, participant) DO UPDATE
SET overdraft = excluded.overdraft WHERE a.overdraft IS DISTINCT FROM excluded.overdraft"""
STANDING = """
SELECT participant, id, balance, overdraft FROM clearing.accounts
WHERE ledger = $1 AND netting_set = $2 AND asset = $3 AND participant = ANY($4::text[])"""
INSERT_BATCH = """
INSERT INTO clearing.batches (
    id, hash, ledger, netting_set, asset, kind, window_number, version, part, parts, linked, sequence,
    source_topic, source_partition, source_offset, epoch, status, reason, short, entries)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
RETURNING number"""
INSERT_ENTRIES = """
INSERT INTO clearing.entries (batch, line, account, counterparty, payment, amount, balance)
SELECT $1, * FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bigint[], $7::bigint[])"""
UNCONFIRMED = """
SELECT id AS batch, hash, status, reason, epoch, short FROM clearing.batches
WHERE ledger = $1 AND netting_set = $2 AND confirmed_at IS NULL ORDER BY number LIMIT $3"""
MARK_CONFIRMED = """
UPDATE clearing.batches SET confirmed_at = now() WHERE id = ANY($1::text[]) AND confirmed_at IS NULL"""

-- Bilateral and gross batches: a line is one side of a pair of participants, or of one payment, so an account may
-- have many lines in a batch. What the database guards stays as strong:
--   * the entries of a batch sum to zero and are all there (R1), each balance goes on from the line before;
--   * lines that name a counterparty are pairs that mirror each other; lines that name none are one an account;
--   * no batch leaves an account below its floor: the lines of a batch are one posting;
--   * each part of a window is settled once, and the parts are parts of one whole (R2).
-- Every name that begins with $ is an account of the scheme, without a floor: $FUNDING, $COLLATERAL, $POOL (R25).

ALTER TABLE clearing.accounts
    DROP CONSTRAINT accounts_only_funding_is_unbounded,
    ADD CONSTRAINT accounts_only_the_scheme_is_unbounded
        CHECK ((overdraft IS NULL) = starts_with(participant, '$'));
COMMENT ON TABLE clearing.accounts IS 'One account a participant and asset; $… are the scheme''s own, without a floor';

ALTER TABLE clearing.batches
    ADD COLUMN part   int    NOT NULL DEFAULT 1,
    ADD COLUMN parts  int    NOT NULL DEFAULT 1,
    ADD COLUMN linked text[] NOT NULL DEFAULT '{}',
    ADD COLUMN short  json   NOT NULL DEFAULT '{}',
    DROP CONSTRAINT batches_kind_check,
    ADD CONSTRAINT batches_kind_check CHECK (kind IN ('net', 'gross', 'funding')),
    ADD CONSTRAINT batches_part_is_one_of_parts CHECK (part BETWEEN 1 AND parts),
    ADD CONSTRAINT batches_short_is_refused CHECK (status = 'REFUSED' OR short::text = '{}');
COMMENT ON COLUMN clearing.batches.part IS 'Of parts: a window of many payments settled one by one has several batches';
COMMENT ON COLUMN clearing.batches.linked IS 'Batches that are final only together with this one (R20)';
COMMENT ON COLUMN clearing.batches.short IS 'Who could not pay and how much each lacks, as the engine was told (R25)';

DROP INDEX clearing.batches_window_settles_once;
CREATE UNIQUE INDEX batches_window_settles_once ON clearing.batches
    (ledger, netting_set, asset, window_number, part) WHERE kind <> 'funding' AND status = 'POSTED';


-- Entries of before are one an account and batch: they are numbered by account.

ALTER TABLE clearing.entries
    ADD COLUMN line int,
    ADD COLUMN counterparty bigint,
    ADD COLUMN payment uuid;
ALTER TABLE clearing.entries DISABLE TRIGGER entries_are_final;
UPDATE clearing.entries AS e SET line = n.line
    FROM (SELECT batch, account, row_number() OVER (PARTITION BY batch ORDER BY account) AS line
          FROM clearing.entries) AS n
    WHERE (e.batch, e.account) = (n.batch, n.account);
ALTER TABLE clearing.entries ENABLE TRIGGER entries_are_final;
ALTER TABLE clearing.entries
    ALTER COLUMN line SET NOT NULL,
    ADD CONSTRAINT entries_line_check CHECK (line > 0),
    ADD CONSTRAINT entries_payment_is_to_somebody CHECK (payment IS NULL OR counterparty IS NOT NULL),
    DROP CONSTRAINT entries_pkey,
    ADD PRIMARY KEY (batch, line);
DROP INDEX clearing.entries_of_account;
CREATE INDEX entries_of_account ON clearing.entries (account, batch, line);
COMMENT ON COLUMN clearing.entries.line IS
    'Number of the line in its batch (of batches before 0002: by account); lines of zero are not posted';
-- No foreign key of its own: the mirroring line has it, and entries_post holds the two together.
COMMENT ON COLUMN clearing.entries.counterparty IS 'Account of the other side, where the line is one of a pair';
COMMENT ON COLUMN clearing.entries.payment IS 'Id of the payment, where the line is one side of it';


-- The plans of both functions stay for a session, and are made when there is next to nothing in the tables. So they have
-- to be right for any number of lines and accounts: rows are looked up by their key, whatever the statistics say.
ALTER FUNCTION clearing.check_entries(bigint) SET enable_seqscan = off;

CREATE OR REPLACE FUNCTION clearing.post_entries() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
    posted   record;
    of_batch record;
    mirrored bigint;
    moved    bigint;
BEGIN
    SELECT min(batch) AS batch, max(batch) AS last, count(*) AS entries, count(DISTINCT account) AS accounts,
           count(counterparty) AS paired, count(payment) AS payments
        INTO posted FROM added;
    IF posted.entries = 0 THEN
        RETURN NULL;
    END IF;
    IF posted.batch <> posted.last THEN
        RAISE EXCEPTION 'the entries of one batch are inserted by one statement'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
    END IF;

    SELECT ledger, netting_set, asset, kind INTO of_batch FROM clearing.batches WHERE number = posted.batch;
    IF posted.paired > 0 OR of_batch.kind = 'gross' THEN
        SELECT 2 * count(*) INTO mirrored FROM (
            SELECT line, account, counterparty, payment, amount, lag(line) OVER lines AS line_1,
                   lag(account) OVER lines AS account_1, lag(counterparty) OVER lines AS counterparty_1,
                   lag(payment) OVER lines AS payment_1, lag(amount) OVER lines AS amount_1
            FROM added WINDOW lines AS (ORDER BY line)
        ) AS pair
        WHERE line % 2 = 0 AND line_1 = line - 1 AND account = counterparty_1 AND counterparty = account_1
          AND account <> counterparty AND payment IS NOT DISTINCT FROM payment_1 AND amount = -amount_1;
        IF mirrored <> posted.entries OR of_batch.kind = 'funding'
           OR posted.payments <> (CASE of_batch.kind WHEN 'gross' THEN posted.entries ELSE 0 END) THEN
            RAISE EXCEPTION 'batch %: % of % entries are not the sides of a % pair',
                posted.batch, posted.entries - mirrored, posted.entries, of_batch.kind
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_mirror_each_other';
        END IF;
    END IF;
    IF of_batch.kind <> 'gross' AND EXISTS (
        SELECT FROM added GROUP BY account, counterparty HAVING count(*) > 1
    ) THEN
        RAISE EXCEPTION 'batch %: several entries for an account, or for a pair of accounts', posted.batch
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_name_each_once';
    END IF;

    -- One update an account: its floor is asked once, for the whole batch. IS NOT DISTINCT FROM, so that no index on
    -- the names is taken for the one on the id.
    UPDATE clearing.accounts AS a SET balance = a.balance + m.amount
        FROM (
            SELECT account, sum(amount) AS amount, min(before) AS least, max(before) AS most
            FROM (SELECT account, amount, balance - sum(amount) OVER (PARTITION BY account ORDER BY line) AS before
                  FROM added) AS running
            GROUP BY account
        ) AS m
        WHERE a.id = m.account AND a.balance = m.least AND a.balance = m.most
          AND (a.ledger, a.netting_set, a.asset)
              IS NOT DISTINCT FROM (of_batch.ledger, of_batch.netting_set, of_batch.asset);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> posted.accounts THEN
        RAISE EXCEPTION 'batch %: the entries of % of % accounts are not of its asset or do not continue their balance',
            posted.batch, posted.accounts - moved, posted.accounts
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
    END IF;
    PERFORM clearing.check_entries(posted.batch);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION clearing.check_batch() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM clearing.check_entries(NEW.number);
    IF NOT EXISTS (
        SELECT FROM clearing.progress AS p
        WHERE p.ledger = NEW.ledger AND p.netting_set = NEW.netting_set
          AND p.topic = NEW.source_topic AND p.partition = NEW.source_partition
          AND p.epoch = NEW.epoch AND p.next_offset > NEW.source_offset AND p.sequence >= NEW.sequence
    ) THEN
        RAISE EXCEPTION 'batch %: posted under epoch % without being the owner, or without its progress (R31)',
            NEW.id, NEW.epoch
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
    END IF;
    IF NEW.kind <> 'funding' AND NEW.status = 'POSTED' AND EXISTS (
        SELECT FROM clearing.batches AS b
        WHERE (b.ledger, b.netting_set, b.asset, b.window_number)
              = (NEW.ledger, NEW.netting_set, NEW.asset, NEW.window_number)
          AND b.kind <> 'funding' AND b.status = 'POSTED' AND (b.kind, b.parts) <> (NEW.kind, NEW.parts)
    ) THEN
        RAISE EXCEPTION 'batch %: window % of % is posted in other parts than % of kind % (R2)',
            NEW.id, NEW.window_number, NEW.asset, NEW.parts, NEW.kind
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'batches_parts_of_one_window';
    END IF;
    RETURN NULL;
END $$;


CREATE OR REPLACE VIEW clearing.statements AS
SELECT b.ledger, b.netting_set, b.asset, a.participant, b.number, b.posted_at, b.kind, b.window_number, b.version,
       round(e.amount / 10::numeric ^ s.scale, s.scale) AS amount,
       round(e.balance / 10::numeric ^ s.scale, s.scale) AS balance,
       b.id AS batch, b.hash, e.line, c.participant AS counterparty, e.payment
FROM clearing.entries AS e
JOIN clearing.batches AS b ON b.number = e.batch
JOIN clearing.accounts AS a ON a.id = e.account
JOIN clearing.assets AS s ON (s.ledger, s.netting_set, s.asset) = (b.ledger, b.netting_set, b.asset)
LEFT JOIN clearing.accounts AS c ON c.id = e.counterparty;
COMMENT ON VIEW clearing.statements IS 'Every entry with names: filter by participant, order by number and line';

CREATE OR REPLACE VIEW clearing.faults AS
SELECT a.ledger, a.netting_set, a.asset,
       format('%s: balance %s, the sum of its entries is %s', a.participant, a.balance, coalesce(sum(e.amount), 0))
       AS fault
FROM clearing.accounts AS a LEFT JOIN clearing.entries AS e ON e.account = a.id
GROUP BY a.id HAVING a.balance <> coalesce(sum(e.amount), 0)
UNION ALL
SELECT a.ledger, a.netting_set, a.asset, format('all accounts together hold %s, not zero', sum(a.balance))
FROM clearing.accounts AS a
GROUP BY a.ledger, a.netting_set, a.asset HAVING sum(a.balance) <> 0
UNION ALL
SELECT b.ledger, b.netting_set, b.asset,
       format('batch %s: %s entries of %s, sum %s', b.id, count(e.batch), b.entries, coalesce(sum(e.amount), 0))
FROM clearing.batches AS b LEFT JOIN clearing.entries AS e ON e.batch = b.number
GROUP BY b.number HAVING count(e.batch) <> b.entries OR coalesce(sum(e.amount), 0) <> 0
UNION ALL
SELECT b.ledger, b.netting_set, b.asset,
       format('batch %s has an entry of %s, whose account is in %s', b.id, a.participant, a.asset)
FROM clearing.entries AS e
JOIN clearing.batches AS b ON b.number = e.batch
JOIN clearing.accounts AS a ON a.id = e.account
WHERE (a.ledger, a.netting_set, a.asset) <> (b.ledger, b.netting_set, b.asset)
UNION ALL
SELECT b.ledger, b.netting_set, b.asset,
       format('batch %s: line %s names a counterparty whose line does not mirror it', b.id, e.line)
FROM clearing.entries AS e
JOIN clearing.batches AS b ON b.number = e.batch
LEFT JOIN clearing.entries AS o ON o.batch = e.batch AND o.line = e.line + CASE e.line % 2 WHEN 0 THEN -1 ELSE 1 END
WHERE e.counterparty IS NOT NULL
  AND (o.account, o.counterparty, o.amount) IS DISTINCT FROM (e.counterparty, e.account, -e.amount)
UNION ALL
SELECT ledger, netting_set, asset,
       format('%s: balance %s after line %s of batch number %s, its entries up to there sum to %s',
              participant, balance, line, batch, total)
FROM (
    SELECT a.ledger, a.netting_set, a.asset, a.participant, e.batch, e.line, e.balance,
           sum(e.amount) OVER (PARTITION BY e.account ORDER BY e.batch, e.line) AS total
    FROM clearing.entries AS e JOIN clearing.accounts AS a ON a.id = e.account
) AS running WHERE balance <> total
UNION ALL
SELECT b.ledger, b.netting_set, b.asset,
       format('batch %s: sequence %s at offset %s, progress is at %s and %s',
              b.id, b.sequence, b.source_offset, p.sequence, p.next_offset)
FROM clearing.batches AS b JOIN clearing.progress AS p USING (ledger, netting_set)
WHERE b.sequence > p.sequence OR b.source_offset >= p.next_offset;

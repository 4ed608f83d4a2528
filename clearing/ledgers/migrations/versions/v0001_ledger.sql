-- The ledger: double-entry journal of settlement batches, guarded by the database itself.
-- Amounts are bigint minor units at the scale of their asset. Whoever writes here, by whatever program:
--   * the entries of a batch sum to zero and are all there, or the transaction fails (R1);
--   * entries and batches are never changed or deleted; a balance moves by entries only;
--   * no posting takes an account below its floor;
--   * a batch is posted by the current owner of its netting set, together with the owner's progress (R31);
--   * a window is settled once (R2).

CREATE TABLE clearing.assets (
    ledger      text     NOT NULL,
    netting_set text     NOT NULL,
    asset       text     NOT NULL,
    scale       smallint NOT NULL CHECK (scale BETWEEN 0 AND 9),
    PRIMARY KEY (ledger, netting_set, asset)
);
COMMENT ON TABLE clearing.assets IS 'Assets with the number of decimals of their minor unit';

CREATE TABLE clearing.accounts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ledger      text   NOT NULL,
    netting_set text   NOT NULL,
    asset       text   NOT NULL,
    participant text   NOT NULL,
    balance     bigint NOT NULL DEFAULT 0,
    overdraft   bigint CHECK (overdraft >= 0),
    opened_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (ledger, netting_set, asset, participant),
    FOREIGN KEY (ledger, netting_set, asset) REFERENCES clearing.assets,
    CONSTRAINT accounts_only_funding_is_unbounded CHECK ((overdraft IS NULL) = (participant = '$FUNDING'))
) WITH (fillfactor = 50);  -- room for the next balance in the same page: no index is touched
COMMENT ON TABLE clearing.accounts IS 'One account a participant and asset; $FUNDING is the counter account';
COMMENT ON COLUMN clearing.accounts.balance IS 'Minor units; the sum of the entries of the account';
COMMENT ON COLUMN clearing.accounts.overdraft IS
    'Minor units a posting may take it below zero. Lowering it breaks nothing posted (R9): money may come in';

CREATE TABLE clearing.progress (
    ledger      text   NOT NULL,
    netting_set text   NOT NULL,
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    epoch       bigint NOT NULL CHECK (epoch > 0),
    owner       text   NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    sequence    bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
    hash        text   NOT NULL,
    owned_at    timestamptz NOT NULL DEFAULT now(),
    read_at     timestamptz,
    PRIMARY KEY (ledger, netting_set)
) WITH (fillfactor = 50);
COMMENT ON TABLE clearing.progress IS 'How far each netting set is read, and by whom: the offset of record';
COMMENT ON COLUMN clearing.progress.epoch IS 'Raised by each new owner; an older one is refused (R31)';
COMMENT ON COLUMN clearing.progress.hash IS 'Hash of the last batch of the netting set, of whatever ledger (R7)';

CREATE TABLE clearing.batches (
    number            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                text   NOT NULL UNIQUE,
    hash              text   NOT NULL,
    ledger            text   NOT NULL,
    netting_set       text   NOT NULL,
    asset             text   NOT NULL,
    kind              text   NOT NULL CHECK (kind IN ('net', 'funding')),
    window_number     bigint NOT NULL,
    version           int    NOT NULL,
    sequence          bigint NOT NULL,
    source_topic      text   NOT NULL,
    source_partition  int    NOT NULL,
    source_offset     bigint NOT NULL,
    epoch             bigint NOT NULL,
    status            text   NOT NULL CHECK (status IN ('POSTED', 'REFUSED')),
    reason            text   NOT NULL DEFAULT '',
    entries           int    NOT NULL CHECK (entries >= 0),
    posted_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at      timestamptz,
    UNIQUE (ledger, netting_set, sequence),
    FOREIGN KEY (ledger, netting_set, asset) REFERENCES clearing.assets,
    FOREIGN KEY (ledger, netting_set) REFERENCES clearing.progress,
    CONSTRAINT batches_refusal_has_reason CHECK ((status = 'REFUSED') = (reason <> '')),
    CONSTRAINT batches_refusal_has_no_entries CHECK (status = 'POSTED' OR entries = 0)
);
CREATE UNIQUE INDEX batches_window_settles_once ON clearing.batches
    (ledger, netting_set, asset, window_number) WHERE kind = 'net' AND status = 'POSTED';
CREATE INDEX batches_unconfirmed ON clearing.batches (ledger, netting_set, number) WHERE confirmed_at IS NULL;
COMMENT ON TABLE clearing.batches IS 'What became of each settlement batch: POSTED, or REFUSED with the reason';
COMMENT ON COLUMN clearing.batches.entries IS 'Number of entries; nets of zero are not posted';
COMMENT ON COLUMN clearing.batches.confirmed_at IS 'When the engine was told, at the latest';

CREATE TABLE clearing.entries (
    batch   bigint NOT NULL REFERENCES clearing.batches,
    account bigint NOT NULL REFERENCES clearing.accounts,
    amount  bigint NOT NULL CHECK (amount <> 0),
    balance bigint NOT NULL,
    PRIMARY KEY (batch, account)
);
CREATE INDEX entries_of_account ON clearing.entries (account, batch);
COMMENT ON TABLE clearing.entries IS 'The journal: amounts in minor units, + in favour of the account';
COMMENT ON COLUMN clearing.entries.balance IS 'Balance of the account after this entry';


-- What is written stays written.

CREATE FUNCTION clearing.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.%: %', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
END $$;

CREATE TRIGGER entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON clearing.entries
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.refuse('entries are never changed or deleted');
CREATE TRIGGER batches_are_final BEFORE DELETE OR TRUNCATE ON clearing.batches
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.refuse('batches are never deleted');
CREATE TRIGGER batches_stay BEFORE UPDATE ON clearing.batches FOR EACH ROW
    WHEN (OLD.confirmed_at IS NOT NULL OR to_jsonb(OLD) - 'confirmed_at' <> to_jsonb(NEW) - 'confirmed_at')
    EXECUTE FUNCTION clearing.refuse('only confirmed_at of a batch may be set, and only once');
CREATE TRIGGER accounts_remain BEFORE DELETE OR TRUNCATE ON clearing.accounts
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.refuse('accounts are never deleted');
CREATE TRIGGER accounts_stay BEFORE UPDATE ON clearing.accounts FOR EACH ROW
    WHEN ((OLD.id, OLD.ledger, OLD.netting_set, OLD.asset, OLD.participant)
          IS DISTINCT FROM (NEW.id, NEW.ledger, NEW.netting_set, NEW.asset, NEW.participant))
    EXECUTE FUNCTION clearing.refuse('an account keeps its names');
CREATE TRIGGER assets_remain BEFORE UPDATE OR DELETE OR TRUNCATE ON clearing.assets
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.refuse('an asset keeps its scale');
CREATE TRIGGER progress_remains BEFORE DELETE OR TRUNCATE ON clearing.progress
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.refuse('progress is never deleted');
CREATE TRIGGER progress_goes_on BEFORE UPDATE ON clearing.progress FOR EACH ROW
    WHEN (NEW.epoch < OLD.epoch OR NEW.next_offset < OLD.next_offset OR NEW.sequence < OLD.sequence
          OR (OLD.ledger, OLD.netting_set, OLD.topic, OLD.partition)
             IS DISTINCT FROM (NEW.ledger, NEW.netting_set, NEW.topic, NEW.partition))
    EXECUTE FUNCTION clearing.refuse('progress never goes back');


-- Balances move by entries only, and not below the floor. The functions below run as the owner of the schema:
-- a role that posts needs no right to touch a balance (ops/sql/ledger_roles.sql).

CREATE TRIGGER accounts_open_empty BEFORE INSERT ON clearing.accounts FOR EACH ROW
    WHEN (NEW.balance <> 0)
    EXECUTE FUNCTION clearing.refuse('an account opens with a balance of zero');
CREATE TRIGGER accounts_move_by_entries BEFORE UPDATE OF balance ON clearing.accounts FOR EACH ROW
    WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION clearing.refuse('a balance moves by entries only');
CREATE TRIGGER accounts_floor BEFORE UPDATE OF balance ON clearing.accounts FOR EACH ROW
    WHEN (NEW.balance < OLD.balance AND NEW.balance < -NEW.overdraft)
    EXECUTE FUNCTION clearing.refuse('the account would fall below its floor');

CREATE FUNCTION clearing.post_entries() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    posted record;
    moved  bigint;
BEGIN
    SELECT min(batch) AS batch, max(batch) AS last, count(*) AS entries INTO posted FROM added;
    IF posted.entries = 0 THEN
        RETURN NULL;
    END IF;
    IF posted.batch <> posted.last THEN
        RAISE EXCEPTION 'the entries of one batch are inserted by one statement'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
    END IF;
    UPDATE clearing.accounts AS a SET balance = n.balance
        FROM added AS n, clearing.batches AS b
        WHERE b.number = posted.batch AND a.id = n.account
          AND (a.ledger, a.netting_set, a.asset) = (b.ledger, b.netting_set, b.asset)
          AND a.balance + n.amount = n.balance;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> posted.entries THEN
        RAISE EXCEPTION 'batch %: % of % entries are not of its asset or do not continue their balance',
            posted.batch, posted.entries - moved, posted.entries
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = TG_NAME;
    END IF;
    PERFORM clearing.check_entries(posted.batch);
    RETURN NULL;
END $$;

CREATE FUNCTION clearing.check_entries(of_batch bigint) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    declared int;
    there    bigint;
    total    numeric;
BEGIN
    SELECT entries INTO STRICT declared FROM clearing.batches WHERE number = of_batch;
    SELECT count(*), coalesce(sum(amount), 0) INTO there, total FROM clearing.entries WHERE batch = of_batch;
    IF there <> declared OR total <> 0 THEN
        RAISE EXCEPTION 'batch %: % of % entries, sum % (R1)', of_batch, there, declared, total
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'entries_sum_to_zero';
    END IF;
END $$;

CREATE TRIGGER entries_post AFTER INSERT ON clearing.entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION clearing.post_entries();


-- At commit: a batch is whole, and its owner's progress went past it in the same transaction.

CREATE FUNCTION clearing.check_batch() RETURNS trigger LANGUAGE plpgsql
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
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER batches_are_whole AFTER INSERT ON clearing.batches
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION clearing.check_batch();


-- For people: names and decimal amounts.

CREATE VIEW clearing.balances AS
SELECT a.ledger, a.netting_set, a.asset, a.participant,
       round(a.balance / 10::numeric ^ s.scale, s.scale) AS balance,
       round(a.overdraft / 10::numeric ^ s.scale, s.scale) AS overdraft
FROM clearing.accounts AS a JOIN clearing.assets AS s USING (ledger, netting_set, asset);

CREATE VIEW clearing.statements AS
SELECT b.ledger, b.netting_set, b.asset, a.participant, b.number, b.posted_at, b.kind, b.window_number, b.version,
       round(e.amount / 10::numeric ^ s.scale, s.scale) AS amount,
       round(e.balance / 10::numeric ^ s.scale, s.scale) AS balance,
       b.id AS batch, b.hash
FROM clearing.entries AS e
JOIN clearing.batches AS b ON b.number = e.batch
JOIN clearing.accounts AS a ON a.id = e.account
JOIN clearing.assets AS s ON (s.ledger, s.netting_set, s.asset) = (b.ledger, b.netting_set, b.asset);
COMMENT ON VIEW clearing.statements IS 'Every entry with names: filter by participant, order by number';

CREATE VIEW clearing.faults AS
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
SELECT ledger, netting_set, asset,
       format('%s: balance %s after batch number %s, its entries up to there sum to %s', participant, balance, batch, total)
FROM (
    SELECT a.ledger, a.netting_set, a.asset, a.participant, e.batch, e.balance,
           sum(e.amount) OVER (PARTITION BY e.account ORDER BY e.batch) AS total
    FROM clearing.entries AS e JOIN clearing.accounts AS a ON a.id = e.account
) AS running WHERE balance <> total
UNION ALL
SELECT b.ledger, b.netting_set, b.asset,
       format('batch %s: sequence %s at offset %s, progress is at %s and %s',
              b.id, b.sequence, b.source_offset, p.sequence, p.next_offset)
FROM clearing.batches AS b JOIN clearing.progress AS p USING (ledger, netting_set)
WHERE b.sequence > p.sequence OR b.source_offset >= p.next_offset;
COMMENT ON VIEW clearing.faults IS 'What contradicts itself in this ledger; it must be empty. Reads every entry';

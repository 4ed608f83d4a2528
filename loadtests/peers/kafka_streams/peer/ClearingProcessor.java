package peer;

import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONException;
import com.alibaba.fastjson2.JSONWriter;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Clears one partition of payments. The stores are the truth (changelogged, inside the EOS transaction);
 * positions are also held as plain heap objects, so the hot path reads no store but the duplicate check and
 * writes through. After an abort Streams restores the stores and calls init() again.
 */
final class ClearingProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    static final String IDS = "ids", POSITIONS = "positions";
    static final String STATUS = "status", SETTLEMENT = "settlement";

    public static final class Payment {
        public String id, debtor, creditor, asset, amount;
    }

    /** floor: how far below zero a net may go, minor units. */
    record Asset(int scale, long floor) {
    }

    private static final class Position {
        final String participant, asset;
        final byte[] key;
        long net;

        Position(String participant, String asset) {
            this.participant = participant;
            this.asset = asset;
            this.key = utf8(participant + '|' + asset);
        }
    }

    private static final byte[] SEEN = {1};
    private static final byte[] WINDOW = utf8("#window");
    private static final byte[] HEAD = utf8("{\"id\":\""), ACCEPTED = utf8("\",\"status\":\"ACSP\",\"reason\":null}");

    private final Map<String, Map<String, Position>> participants = new HashMap<>();
    private final Map<String, Asset> assets;
    private final Duration windowLength;
    private final SeenFilter filter; // or null
    private final Progress progress;

    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], byte[]> ids;
    private KeyValueStore<byte[], Long> positions;
    private long window;
    private boolean open; // has the window a payment?

    ClearingProcessor(List<String> participants, Map<String, Asset> assets, Duration windowLength, SeenFilter filter,
            Progress progress) {
        for (String p : participants) this.participants.put(p, new HashMap<>());
        this.assets = assets;
        this.windowLength = windowLength;
        this.filter = filter;
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        ids = context.getStateStore(IDS);
        positions = context.getStateStore(POSITIONS);
        load();
        context.schedule(windowLength, PunctuationType.WALL_CLOCK_TIME, this::closeWindow);
    }

    private void load() {
        participants.values().forEach(Map::clear);
        window = 0;
        open = false;
        if (filter != null) {
            try (KeyValueIterator<byte[], byte[]> all = ids.all()) {
                while (all.hasNext()) filter.add(all.next().key);
            }
        }
        try (KeyValueIterator<byte[], Long> all = positions.all()) {
            while (all.hasNext()) {
                KeyValue<byte[], Long> e = all.next();
                if (e.key[0] == '#') {
                    window = e.value;
                } else {
                    String[] k = text(e.key).split("\\|");
                    position(participants.get(k[0]), k[0], k[1]).net = e.value;
                    open |= e.value != 0;
                }
            }
        }
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        progress.started();
        clear(record);
        if (progress.processed()) { // the last one asked for: settle what is open and commit now
            closeWindow(record.timestamp());
            context.commit();
        }
    }

    private void clear(Record<byte[], byte[]> record) {
        Payment p;
        try {
            p = JSON.parseObject(record.value(), Payment.class);
        } catch (JSONException e) {
            p = null;
        }
        if (p == null || p.id == null || p.debtor == null || p.creditor == null || p.asset == null || p.amount == null) {
            reject(record, p == null ? null : p.id, "FF01");
            return;
        }
        byte[] id = utf8(p.id);
        if (duplicate(id)) {
            reject(record, p.id, "AM05");
            return;
        }
        Map<String, Position> debtors = participants.get(p.debtor), creditors = participants.get(p.creditor);
        if (debtors == null || creditors == null) {
            reject(record, p.id, "RC01");
            return;
        }
        Asset asset = assets.get(p.asset);
        if (asset == null) {
            reject(record, p.id, "AM03");
            return;
        }
        long amount = minorUnits(p.amount, asset.scale);
        if (amount <= 0) {
            reject(record, p.id, "AM12");
            return;
        }
        if (debtors == creditors) {
            reject(record, p.id, "AG01");
            return;
        }
        Position debtor = position(debtors, p.debtor, p.asset);
        if (debtor.net - amount < -asset.floor) {
            reject(record, p.id, "AM04");
            return;
        }
        Position creditor = position(creditors, p.creditor, p.asset);
        positions.put(debtor.key, debtor.net -= amount);
        positions.put(creditor.key, creditor.net += amount);
        open = true;
        context.forward(record.withValue(accepted(p.id, id)), STATUS);
    }

    private boolean duplicate(byte[] id) {
        if (filter == null || filter.add(id)) return ids.putIfAbsent(id, SEEN) != null;
        ids.put(id, SEEN);
        return false;
    }

    private void reject(Record<byte[], byte[]> record, String id, String reason) {
        context.forward(record.withValue(status(id, "RJCT", reason)), STATUS);
    }

    /** One settlement batch: every net position of the window, then a fresh window. */
    private void closeWindow(long now) {
        if (!open) return;
        List<Map<String, Object>> nets = new ArrayList<>();
        for (Map<String, Position> byAsset : participants.values()) {
            for (Position p : byAsset.values()) {
                nets.add(Map.of("participant", p.participant, "asset", p.asset, "net", p.net));
                p.net = 0;
                positions.put(p.key, 0L);
            }
        }
        Map<String, Object> batch = new LinkedHashMap<>();
        batch.put("window", window);
        batch.put("closed_at", now);
        batch.put("positions", nets);
        context.forward(new Record<>(utf8("window-" + window), JSON.toJSONBytes(batch), now), SETTLEMENT);
        positions.put(WINDOW, ++window);
        open = false;
    }

    private static Position position(Map<String, Position> byAsset, String participant, String asset) {
        Position p = byAsset.get(asset);
        if (p == null) byAsset.put(asset, p = new Position(participant, asset));
        return p;
    }

    private static byte[] status(String id, String status, String reason) {
        Map<String, String> m = new LinkedHashMap<>();
        m.put("id", id);
        m.put("status", status);
        m.put("reason", reason);
        return JSON.toJSONBytes(m, JSONWriter.Feature.WriteNulls);
    }

    /** The usual answer, put together by hand unless the id has something to escape. */
    private static byte[] accepted(String id, byte[] idBytes) {
        for (byte b : idBytes) {
            if (b >= 0 && b < 0x20 || b == '"' || b == '\\') return status(id, "ACSP", null);
        }
        byte[] out = new byte[HEAD.length + idBytes.length + ACCEPTED.length];
        System.arraycopy(HEAD, 0, out, 0, HEAD.length);
        System.arraycopy(idBytes, 0, out, HEAD.length, idBytes.length);
        System.arraycopy(ACCEPTED, 0, out, HEAD.length + idBytes.length, ACCEPTED.length);
        return out;
    }

    /** "123.00" to 12300 where scale is 2; -1 for anything that is not a plain positive amount of the scale. */
    static long minorUnits(String s, int scale) {
        long v = 0;
        int decimals = -1;
        if (s.isEmpty() || s.length() > 18) return -1;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c >= '0' && c <= '9') {
                v = v * 10 + (c - '0');
                if (decimals >= 0 && ++decimals > scale) return -1;
            } else if (c == '.' && decimals < 0 && i > 0) {
                decimals = 0;
            } else {
                return -1;
            }
        }
        for (int d = Math.max(decimals, 0); d < scale; d++) v *= 10;
        return v;
    }

    private static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] b) {
        return new String(b, StandardCharsets.UTF_8);
    }
}

package peer;

import com.sun.management.OperatingSystemMXBean;

import java.lang.management.ManagementFactory;

/** Counts payments on the stream thread; samples the clocks when the first one is processed. */
final class Progress {
    /** Wall clock, this process's CPU and the broker's, in seconds. */
    record Sample(double wall, double cpu, double brokerCpu) {
        Sample minus(Sample o) {
            return new Sample(wall - o.wall, cpu - o.cpu, brokerCpu - o.brokerCpu);
        }
    }

    private final long max, brokerPid;
    private long count; // stream thread only
    volatile Sample first;

    Progress(long max, long brokerPid) {
        this.max = max;
        this.brokerPid = brokerPid;
    }

    void started() {
        if (count == 0) first = sample();
    }

    boolean processed() {
        return ++count == max;
    }

    Sample sample() {
        var os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return new Sample(System.nanoTime() / 1e9, os.getProcessCpuTime() / 1e9, brokerCpu());
    }

    private double brokerCpu() {
        if (brokerPid == 0) return 0;
        return ProcessHandle.of(brokerPid).flatMap(p -> p.info().totalCpuDuration()).map(d -> d.toMillis() / 1e3).orElse(0.0);
    }
}

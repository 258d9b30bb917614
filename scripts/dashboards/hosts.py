"""The dashboard of the hosts."""

from __future__ import annotations

from scripts.dashboards.model import BAD, GOOD, WARNING, ZERO_IS_GOOD, Board, Choice, Row, chart, stat

_OWN = 'instance=~"$instance"'
_DISK = f'{_OWN}, fstype!~"tmpfs|ramfs"'
_FILLED = f"1 - node_filesystem_avail_bytes{{{_DISK}}} / node_filesystem_size_bytes"
_NIC = f'{_OWN}, device!~"lo|docker.*|veth.*"'
_PERCENT: tuple[tuple[float | None, str], ...] = ((None, GOOD), (0.8, WARNING), (0.9, BAD))


def _rate(metric: str, labels: str = _OWN) -> str:
    return f"sum by (instance) (rate({metric}{{{labels}}}[$__rate_interval]))"


_HEALTH = Row(
    "Are they well?",
    (
        stat(
            "Hosts that do not answer",
            "Their node exporter does not, at least.",
            'count(up{job="node"} == 0) or vector(0)',
            thresholds=ZERO_IS_GOOD,
            width=4,
        ),
        stat(
            "Failed units",
            "Services that systemd has given up on: systemctl --failed on the host.",
            'count(node_systemd_unit_state{state="failed"} == 1) or vector(0)',
            thresholds=ZERO_IS_GOOD,
            width=4,
        ),
        stat(
            "Killed for want of memory",
            "By the kernel, in the range shown.",
            "sum(increase(node_vmstat_oom_kill[$__range])) or vector(0)",
            thresholds=ZERO_IS_GOOD,
            width=4,
            decimals=0,
        ),
        stat(
            "Fullest disk",
            "A broker stops when its disk is full.",
            'max(1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes)',
            unit="percentunit",
            thresholds=_PERCENT,
            width=4,
        ),
        stat(
            "Least memory available",
            "On any host; what the kernel can give without swapping.",
            "min(node_memory_MemAvailable_bytes)",
            unit="bytes",
            thresholds=((None, BAD), (50 * 2**20, WARNING), (100 * 2**20, GOOD)),
            width=4,
        ),
        stat(
            "First certificate to end",
            "rotate_certificates.yml renews them.",
            "min(shopstream_certificate_expiry_seconds) - time()",
            unit="s",
            thresholds=((None, BAD), (3 * 86400, WARNING), (21 * 86400, GOOD)),
            width=4,
        ),
    ),
)

_CPU = Row(
    "CPU",
    (
        chart(
            "CPU in use",
            "Of all cores. A t2.micro may use 10 % on the average; more eats its credits.",
            "percentunit",
            (
                f'1 - avg by (instance) (rate(node_cpu_seconds_total{{{_OWN}, mode="idle"}}[$__rate_interval]))',
                "{{instance}}",
            ),
            thresholds=((None, GOOD), (0.7, WARNING), (0.9, BAD)),
            maximum=1,
        ),
        chart(
            "Stolen and waiting",
            "Stolen: the credits of a t2 or t3 are used up, or its neighbour is busy. Waiting: for the disk.",
            "percentunit",
            (
                f'avg by (instance) (rate(node_cpu_seconds_total{{{_OWN}, mode="steal"}}[$__rate_interval]))',
                "{{instance}} stolen",
            ),
            (
                f'avg by (instance) (rate(node_cpu_seconds_total{{{_OWN}, mode="iowait"}}[$__rate_interval]))',
                "{{instance}} waiting",
            ),
        ),
        chart(
            "Load for each core",
            "Over five minutes; above 1, work waits for a core.",
            "short",
            (
                f'node_load5{{{_OWN}}} / on (instance) count by (instance) (node_cpu_seconds_total{{mode="idle"}})',
                "{{instance}}",
            ),
            thresholds=((None, GOOD), (1, WARNING), (2, BAD)),
        ),
    ),
)

_MEMORY = Row(
    "Memory",
    (
        chart(
            "Memory in use",
            "Without what the kernel can free at once. Kafka wants the rest as page cache.",
            "percentunit",
            (f"1 - node_memory_MemAvailable_bytes{{{_OWN}}} / node_memory_MemTotal_bytes", "{{instance}}"),
            thresholds=((None, GOOD), (0.85, WARNING), (0.95, BAD)),
            maximum=1,
        ),
        chart(
            "Swap in use",
            "It is there to survive a peak. A JVM that is swapped pauses for seconds.",
            "bytes",
            (f"node_memory_SwapTotal_bytes{{{_OWN}}} - node_memory_SwapFree_bytes", "{{instance}}"),
        ),
        chart(
            "Page cache",
            "Recent records are read from it: consumers that keep up never touch the disk.",
            "bytes",
            (f"node_memory_Cached_bytes{{{_OWN}}}", "{{instance}}"),
        ),
    ),
)

_DISKS = Row(
    "Disk",
    (
        chart(
            "Disk in use",
            "By file system.",
            "percentunit",
            (
                f"max by (instance, mountpoint) ({_FILLED})",
                "{{instance}} {{mountpoint}}",
            ),
            thresholds=_PERCENT,
            maximum=1,
        ),
        chart(
            "Read and written",
            "Reads on a broker are consumers that lag behind the page cache.",
            "Bps",
            (_rate("node_disk_read_bytes_total"), "{{instance}} read"),
            (_rate("node_disk_written_bytes_total"), "{{instance}} written"),
        ),
        chart(
            "Busy",
            "The share of time with a request under way, of the busiest disk.",
            "percentunit",
            (
                f"max by (instance) (rate(node_disk_io_time_seconds_total{{{_OWN}}}[$__rate_interval]))",
                "{{instance}}",
            ),
            thresholds=((None, GOOD), (0.7, WARNING), (0.9, BAD)),
            maximum=1,
        ),
    ),
)

_NETWORK = Row(
    "Network and time",
    (
        chart(
            "Received and sent",
            "All interfaces but loopback.",
            "Bps",
            (_rate("node_network_receive_bytes_total", _NIC), "{{instance}} in"),
            (_rate("node_network_transmit_bytes_total", _NIC), "{{instance}} out"),
        ),
        chart(
            "TCP segments sent again",
            "A second. More than a few: the network loses packets.",
            "pps",
            (_rate("node_netstat_Tcp_RetransSegs"), "{{instance}}"),
        ),
        chart(
            "Certificates: time left",
            "Each host's own and the authority's.",
            "s",
            (
                f"min by (instance, path) (shopstream_certificate_expiry_seconds{{{_OWN}}}) - time()",
                "{{instance}} {{path}}",
            ),
            thresholds=((None, BAD), (3 * 86400, WARNING), (21 * 86400, GOOD)),
        ),
    ),
)

BOARD = Board(
    "shopstream-hosts",
    "Hosts",
    "The machines: CPU, memory, disk, network, certificates.",
    (_HEALTH, _CPU, _MEMORY, _DISKS, _NETWORK),
    (Choice("instance", "Host", 'label_values(up{job="node"}, instance)'),),
)

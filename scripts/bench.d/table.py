"""The results as Markdown: medians over the rounds, and how they compare with Kea."""

import statistics

NONE = "—"


def median(runs, *path):
    """The median of one figure over all rounds that have it, with its spread; `None` where no round has."""
    values = []
    for run in runs:
        for key in path:
            run = run.get(key) if isinstance(run, dict) else None
        if isinstance(run, (int, float)) and not isinstance(run, bool):
            values.append(run)
    return statistics.median(values) if values else None


def spread(runs, *path):
    values = [value for run in runs if (value := median([run], *path)) is not None]
    return (min(values), max(values)) if len(values) > 1 else None


def number(value, digits=0):
    return NONE if value is None else f"{value:,.{digits}f}"


def with_spread(runs, *path):
    value, ends = median(runs, *path), spread(runs, *path)
    text = number(value)
    return f"{text} ({ends[0]:,.0f}–{ends[1]:,.0f})" if ends and ends[0] != ends[1] else text


def ratio(runs, kea, *path):
    ours, theirs = median(runs, *path), median(kea, *path)
    return NONE if not ours or not theirs else f"{ours / theirs:.2f}"


def markdown(results):
    machine = results["machine"]
    lines = [
        "# twinlease beside Kea and dnsmasq",
        "",
        f"{machine['cpus']} CPUs ({machine['model']}), Linux {machine['kernel']}, {results['date']}; {results['rounds']} alternating round(s), "
        "medians (lowest–highest). Server, clients and generator share the CPUs, so figures compare within one run only.",
        f"Versions: {', '.join(f'{name} {version}' for name, version in results['versions'].items())}.",
        f"The generator alone reaches {results['ceiling']['per_s']:,.0f} DORA/s here, at {results['ceiling']['cpu_us']:.1f} µs of CPU each.",
        "",
        *foreign_note(results),
        "Highest rate with < 1 % loss, on a grid of 10 %, relayed. DORA: only clients that were never seen before, so the leases grow "
        "during the search. twinlease syncs every lease to disk before its ACK and dnsmasq syncs too; Kea writes without syncing.",
        "",
    ]
    for level in results["levels"]:
        lines += level_table(results, level)
    if results.get("direct"):
        lines += direct_table(results)
    if results.get("pair"):
        lines += pair_table(results)
    if results.get("rejoin"):
        lines += rejoin_table(results)
    if results.get("agreement"):
        lines += agreement_table(results["agreement"])
    return "\n".join(lines) + "\n"


def foreign_note(results):
    parts = [*results["by_level"].values(), results["pair"]]
    shares = [run["foreign_cpu_percent"] for part in parts for entry in part.values() for run in entry["runs"]]
    if not shares or max(shares) < 5:
        return []
    return [f"**Noise:** other programs used {statistics.median(shares):.0f} % of the CPUs (at worst {max(shares):.0f} %) during the runs; "
            "figures are lower and less steady than on a quiet machine.", ""]


def level_table(results, level):
    found = results["by_level"][str(level)]
    rates = [str(rate) for rate in results["rates"]]
    kea = found.get("kea", {}).get("runs", [])
    head = ["server", "DORA/s", "× Kea", "renewals/s", "× Kea"]
    for rate in rates:
        head += [f"at {int(rate):,}/s: p50 / p99 ms", "CPU µs per DORA"]
    head += ["RSS MB", "start to first OFFER ms"]
    lines = [f"## {level:,} active leases", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    notes = []
    for name, entry in found.items():
        runs = entry["runs"]
        row = [entry["label"], with_spread(runs, "dora_per_s"), ratio(runs, kea, "dora_per_s"),
               with_spread(runs, "renew_per_s"), ratio(runs, kea, "renew_per_s")]
        for rate in rates:
            p50, p99 = (median(runs, "latency", rate, key) for key in ("p50_ms", "p99_ms"))
            lost = median(runs, "latency", rate, "lost_percent")
            text = f"{number(p50, 2)} / {number(p99, 2)}"
            row += [NONE if p50 is None else text + (f", lost {lost:.1f} %" if lost >= 1 else ""),
                    number(median(runs, "latency", rate, "cpu_us"))]
        row += [number(median(runs, "rss_mb"), 1), number(median(runs, "start_ms"))]
        lines.append("| " + " | ".join(row) + " |")
        notes += notes_of(entry)
    return lines + [""] + [f"- {note}" for note in dict.fromkeys(notes)] + [""]


def notes_of(entry):
    notes = [f"{entry['label']}: — because {reason}." for reason in entry["reasons"]]
    for scenario, word in (("dora", "DORA"), ("renew", "renewals")):
        bounds = {run[f"{scenario}_bound"] for run in entry["runs"] if run.get(f"{scenario}_bound")}
        notes += [f"{entry['label']}: its {word} figure is a lower bound, the search was stopped by {bound}." for bound in sorted(bounds)]
        if entry["runs"] and all(f"{scenario}_bound" in run and run[f"{scenario}_per_s"] is None for run in entry["runs"]):
            notes.append(f"{entry['label']}: — because it lost 1 % and more of its {word} even at a tenth of the rate at which it was filled.")
    return notes


def direct_table(results):
    lines = ["## Clients on the link", "",
             "No relay: each client sends a broadcast from its own MAC, and the reply goes to that MAC by unicast. From 1,000 leases. "
             "(dnsmasq enters each new client into the kernel's ARP table for that, which holds 1,024 by default: then it falls silent.)", "",
             "| server | DORA/s | × Kea | CPU µs per DORA |", "|---|---|---|---|"]
    kea = results["direct"].get("kea", {}).get("runs", [])
    notes = []
    for entry in results["direct"].values():
        runs = entry["runs"]
        lines.append(f"| {entry['label']} | {with_spread(runs, 'dora_per_s')} | {ratio(runs, kea, 'dora_per_s')} | {number(median(runs, 'dora_cpu_us'))} |")
        notes += notes_of(entry)
    return lines + [""] + [f"- {note}" for note in dict.fromkeys(notes)] + [""]


def pair_table(results):
    rates = [str(rate) for rate in results["pair_rates"]]
    lines = ["## Pairs", "",
             "Two servers that act as one, and the clients, on one bridge and the same CPUs; clients on the link, whose broadcasts reach both. "
             "From 1,000 leases. CPU and memory are those of both nodes together. Both of ours sync every lease before the ACK; Kea writes at both without syncing.", ""]
    head = ["servers", "DORA/s", "× Kea hot-standby", "× our single node"]
    for rate in rates:
        head += [f"at {int(rate):,}/s: p50 / p99 ms", "CPU µs per DORA"]
    lines += ["| " + " | ".join(head + ["RSS MB"]) + " |", "|---" * (len(head) + 1) + "|"]
    kea, single = (results["pair"].get(name, {}).get("runs", []) for name in ("kea-hs", "twinlease"))
    notes = []
    for entry in results["pair"].values():
        runs = entry["runs"]
        row = [entry["label"], with_spread(runs, "dora_per_s"), ratio(runs, kea, "dora_per_s"), ratio(runs, single, "dora_per_s")]
        for rate in rates:
            p50, p99 = (median(runs, "latency", rate, key) for key in ("p50_ms", "p99_ms"))
            row += [NONE if p50 is None else f"{number(p50, 2)} / {number(p99, 2)}", number(median(runs, "latency", rate, "cpu_us"))]
        lines.append("| " + " | ".join(row + [number(median(runs, "rss_mb"), 1)]) + " |")
        notes += notes_of(entry)
    return lines + [""] + [f"- {note}" for note in dict.fromkeys(notes)] + [""]


def rejoin_table(results):
    lines = [f"## A node comes back to {results['rejoin_leases']:,} leases", "",
             "The second node is killed, 1,000 leases are made without it, and it starts again while 200 clients a second ask the first. "
             "Rejoined: both say that they are together and hold the same.", "",
             "| pair | rejoined after s | clients' exchanges lost meanwhile % |", "|---|---|---|"]
    notes = []
    for entry in results["rejoin"].values():
        runs = entry["runs"]
        lines.append(f"| {entry['label']} | {number(median(runs, 'rejoin_s'), 1)} | {number(median(runs, 'rejoin_lost_percent'), 1)} |")
        notes += notes_of(entry)
    return lines + [""] + [f"- {note}" for note in dict.fromkeys(notes)] + [""]


def agreement_table(rows):
    lines = ["## Does dhcpload agree with perfdhcp?", "",
             "The same relayed DORAs at the same rate, in turn, against the same server; here dhcpload takes times as perfdhcp does, in the program. "
             "Medians. The first target answers at once: what is measured there is the tool's own share, contained in all its other figures. "
             "The second answers after a known time.", "",
             "| target | rate | completed/s: perfdhcp | dhcpload | differ | OFFER µs: perfdhcp | dhcpload | differ | ACK µs: perfdhcp | dhcpload | differ |",
             "|---" * 11 + "|"]
    for row in rows:
        theirs, ours = row["perfdhcp"], row["dhcpload"]
        cells = [row["target"], number(row["rate"])]
        for key in ("completed_per_s", "offer_us", "ack_us"):
            cells += [number(theirs[key]), number(ours[key]), differ(theirs[key], ours[key])]
        lines.append("| " + " | ".join(cells) + " |")
    return lines + [""]


def differ(one, other):
    return f"{100 * (other - one) / one:+.1f} %" if one else NONE

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from reconciler.insight.metrics import Gauge, Sample, gauges
from reconciler.insight.report import Account, UnreadAccount
from reconciler.render.metrics import render_metrics
from support.reviews import review, usual
from support.search import examples

Read = list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]


def read(text: str) -> tuple[Read, Read]:
    """Read a text as either format has it."""
    newer, older = (
        [
            (
                family.name,
                family.documentation,
                family.type,
                [(each.name, each.labels, each.value) for each in family.samples],
            )
            for family in reader(text)
        ]
        for reader in (read_openmetrics, read_prometheus)
    )
    return newer, older


def test_openmetrics_and_prometheus_text_read_the_same() -> None:
    accounts: list[Account] = [
        UnreadAccount("NAGA_CI_KEY", (), "no answer"),
        usual(),
        review(variable="NAGA_OTHER_KEY"),
    ]
    given = gauges(accounts, version="1", most_keys=9)

    newer, older = read(render_metrics(given))

    assert newer == older
    assert [(name, help_text) for name, help_text, _, _ in newer] == [(gauge.name, gauge.text) for gauge in given]
    assert {kind for _, _, kind, _ in newer} == {"gauge"}
    assert [[value for _, _, value in samples] for *_, samples in newer] == [
        [float(sample.value) for sample in gauge.samples] for gauge in given
    ]


def test_every_gauge_that_is_an_amount_or_a_time_says_so_in_its_name_and_helps() -> None:
    for gauge in gauges([usual()], version="1", most_keys=9):
        assert gauge.name.startswith("naga_")
        assert gauge.name.endswith(gauge.unit)
        assert gauge.name.endswith(("_usd", "_seconds")) == bool(gauge.unit)
        assert gauge.text.endswith(".")
        assert not {'"', "\\", "\n"} & {*gauge.text}


@settings(max_examples=examples(100))
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_comes_back_as_it_was(name: str) -> None:
    gauge = Gauge("naga_team_spend_30d_usd", "A team.", ("team",), (Sample((name,), Decimal("0.5")),), "usd")

    newer, older = read(render_metrics([gauge]))

    assert newer == older
    assert newer[0][3] == [("naga_team_spend_30d_usd", {"team": name}, 0.5)]

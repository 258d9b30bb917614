"""The command prints an estimate as tables or JSON, draws it, names what is missing, and refuses what it cannot use."""

import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from shopstream import topology
from shopstream.cli.main import COMMANDS, main
from shopstream.cost.choices import Choice, choices
from shopstream.cost.estimate import estimate
from shopstream.cost.plan import Plan, Resource, default_plan
from shopstream.cost.plot import draw
from shopstream.cost.prices import price_table
from shopstream.cost.report import notes, render, short, spread, to_data
from shopstream.cost.standing import FREE

TOPOLOGY = topology.load()
SVG = "{http://www.w3.org/2000/svg}"


def estimated(plan=None, **more):
    return estimate(plan or default_plan(), TOPOLOGY, price_table(), **more)


def printed(found, width):
    out = io.StringIO()
    render(found, choices(found, TOPOLOGY), Console(file=out, width=width))
    return out.getvalue()


@pytest.fixture
def called(capsys):
    """Calls `shopstream cost`; its exit code and what it prints."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["cost", *map(str, arguments)])
        return ended.value.code, *capsys.readouterr()

    return call


class TestTables:
    def test_they_have_a_line_for_each_service_and_choice_with_its_sums(self):
        text = printed(estimated(), 80)
        lines = {re.split(r"\s{2,}", line)[0]: re.split(r"\s{2,}", line)[1:] for line in text.splitlines()}
        assert lines["EC2"] == ["0.1736", "0.521", "126.73", "-"]
        assert lines["Lambda"] == ["-", "0.013", "-", "0.10 to 3.25"]
        assert lines["S3"] == ["<0.0001", "<0.001", "<0.01", "-"]
        assert lines["all"] == ["0.3341", "1.084", "243.93", "3.45 to 10.47"]
        assert lines["pollers provisioned"] == ["+1.6650", "+4.995", "+1215.45"]
        assert lines["no Control Center"] == ["-0.0915", "-0.274", "-66.79"]
        assert lines["hosts stopped overnight, 14 h"] == ["-90.96"]
        assert text.startswith("1.08 USD for 3 h, 5,000 orders; 0.33 USD an hour while nothing happens\n")
        assert max(map(len, text.splitlines())) <= 80

    def test_the_documentation_shows_what_is_printed(self):
        shown = [line.rstrip() for line in printed(estimated(), 80).split("\nfree: ")[0].splitlines()]
        page = (Path(__file__).parent.parent / "docs" / "cost.md").read_text(encoding="utf-8")
        assert "```text\n" + "\n".join(shown) + "\n```" in page

    def test_a_wide_terminal_is_told_what_the_sums_are_made_of(self):
        text = printed(estimated(), 140)
        for words in (
            "1 x t3.large, 6 x t2.micro, 1 x t3.small", "140 GB of gp3", "9 x endpoint in a zone",
            "16 x secret, 1 x secret beside the plan", "15,000 x write unit", "0.025 GB of zips",
            'poller_mode = "provisioned"', 'access = "bastion"',
        ):  # fmt: skip
            assert words in text
        rows = {line.split("  ")[0]: line.rstrip().split("  ")[-1] for line in text.splitlines()}
        assert rows["Lambda"] == "458 GB-second of x86_64, 28,925 x request"
        assert rows["DynamoDB"] == "15,000 x write unit"
        assert rows["CloudWatch metrics"] == "30 x metric"
        assert "write unit" not in printed(estimated(), 80)

    @pytest.mark.parametrize(
        ("amount", "text"), [(0, "-"), (0.004, "<0.01"), (0.005, "0.01"), (0.0149, "0.01"), (12.345, "12.35")]
    )
    def test_small_amounts_are_not_shown_as_nothing(self, amount, text):
        assert short(amount, 2) == text

    def test_a_spread_of_one_amount_is_that_amount(self):
        assert (spread(1.0, 1.004), spread(1.0, 1.006)) == ("1.00", "1.00 to 1.01")


class TestNotes:
    def test_the_default_has_its_budget_and_what_goes_on(self):
        assert notes(estimated()) == [
            "the budget of 50 USD a month only warns; 150 idle hours use it up",
            "with the hosts stopped 0.12 USD an hour go on; destroyed, nothing does",
        ]

    def test_what_is_missing_comes_first_and_in_the_open(self):
        plan = default_plan()
        odd = [Resource("aws_lb", "a"), Resource("aws_instance", "b", None, {"instance_type": "x9.huge"})]
        found = estimated(plan.having([*plan.resources, *odd]))
        first = "MISSING FROM ALL SUMS, because no price is known here: aws_instance of type x9.huge, aws_lb"
        assert notes(found)[0] == first
        assert first in printed(found, 200)
        assert found.total.hour == pytest.approx(estimated().total.hour)

    def test_a_budget_that_nothing_uses_up_is_not_mentioned(self):
        monthly = Resource("aws_budgets_budget", "b", 0, {"limit_amount": "50", "time_unit": "MONTHLY"})
        lacking = [f"the plan has no function for {', '.join(TOPOLOGY.services)}: what orders use there is missing"]
        assert notes(estimated(Plan((monthly,)))) == lacking
        gateway = Resource("aws_nat_gateway", "n")
        yearly = monthly.but(time_unit="ANNUALLY")
        assert notes(estimated(Plan((yearly, gateway)))) == lacking
        assert notes(estimated(Plan((monthly, gateway))))[1].endswith("1111 idle hours use it up")

    def test_another_region_a_schedule_and_lacking_functions_are_told(self):
        rule = Resource("aws_cloudwatch_event_rule", "schedule", "order_generator", {
            "schedule_expression": "rate(1 minute)", "state": "ENABLED",
        })  # fmt: skip
        disabled = rule.but(state="DISABLED")
        assert notes(estimated(Plan((rule, disabled), {"region": "eu-west-1"}))) == [
            "the plan is for eu-west-1, and these are us-east-1's prices: others apply there",
            (
                "the plan has no function for order_generator, payment_processor, inventory_manager, shipping_handler, "
                "notification_handler: what orders use there is missing"
            ),
            "order_generator is started by rate(1 minute): idle hours are not idle; say so with --orders",
        ]


class TestData:
    def test_it_holds_sums_lines_uses_choices_and_prices_with_their_sources(self):
        found = estimated(hours=3, orders=5000)
        data = json.loads(json.dumps(to_data(found, choices(found, TOPOLOGY))))
        assert data["total"]["idle_hour"] == pytest.approx(found.total.hour)
        assert data["total"]["million_orders"] == {
            "full_batches": pytest.approx(found.total.million_full),
            "single_records": pytest.approx(found.total.million_single),
        }
        assert sum(each["run"] for each in data["services"].values()) == pytest.approx(data["total"]["run"])
        for service in data["services"].values():
            parts = [each["run"] for each in (*service["standing"], *service["used"])]
            assert sum(parts) == pytest.approx(service["run"])
        assert data["services"]["CloudWatch metrics"]["standing"][0]["only_while_orders_flow"] is True
        assert [each["name"] for each in data["choices"]] == [each.name for each in choices(found, TOPOLOGY)]
        assert data["prices"]["nat gateway"] == {
            "usd": 0.045,
            "unit": "started hour",
            "page": "https://aws.amazon.com/vpc/pricing/",
            "read": "2026-02-24",
            "found": "https://cloudburn.io/blog/aws-nat-gateway-pricing",
        }
        assert "found" not in data["prices"]["ebs gp3"]
        assert data["assumptions"]["invocation_ms"] == 30
        assert data["free"].items() <= FREE.items()
        assert len(data["free"]) == 25
        assert (data["hours"], data["orders"], data["unpriced"], data["uncounted"]) == (3, 5000, [], [])


class TestPicture:
    def drawn(self, found, others=None):
        return ET.fromstring(draw(found, choices(found, TOPOLOGY) if others is None else others))

    def texts(self, tree):
        return ["".join(each.itertext()) for each in tree.iter(f"{SVG}text")]

    def test_it_is_an_image_with_a_bar_for_each_service_and_choice(self):
        found = estimated()
        tree = self.drawn(found)
        assert tree.tag == f"{SVG}svg"
        texts = self.texts(tree)
        assert texts[0] == "0.33 USD an hour, 244 USD a month, while nothing happens"
        for words in ("EC2", "0.1736 52%", "0.81 to 4.68", "pollers provisioned", "+1,215.45", "-66.79"):
            assert any(words.replace(" ", "") == text.replace(" ", "") for text in texts), words
        rows = tree.findall(f"{SVG}g")
        assert len(rows) == 8 + 5 + 8
        bars = [float(rect.get("width")) for row in rows[:8] for rect in row.iter(f"{SVG}rect")]
        assert bars == sorted(bars, reverse=True)
        assert bars[1] / bars[0] == pytest.approx(0.09 / 0.1736, abs=1e-3)
        logs, of_lambda = ([float(rect.get("width")) for rect in row.iter(f"{SVG}rect")] for row in rows[8:10])
        assert logs[1] / logs[0] == pytest.approx(0.8088 / 4.6809, abs=1e-3)
        assert of_lambda[0] / logs[0] == pytest.approx(3.2465 / 4.6809, abs=1e-3)

    def test_everything_lies_inside(self):
        tree = self.drawn(estimated())
        width, height = float(tree.get("width")), float(tree.get("height"))
        tops = [float(re.search(r"translate\(0 (\d+)\)", g.get("transform"))[1]) for g in tree.findall(f"{SVG}g")]
        assert tops == sorted(tops)
        assert tops[-1] + 30 <= height
        for rect in tree.iter(f"{SVG}rect"):
            assert 0 <= float(rect.get("x", 0)) <= float(rect.get("x", 0)) + float(rect.get("width")) <= width

    def test_savings_go_left_of_the_line_and_costs_right(self):
        others = [Choice("less", "", 0, 0, -10.0), Choice("more", "", 0, 0, 30.0), Choice("same", "", 0, 0, 0.001)]
        less, more = self.drawn(estimated(), others).findall(f"{SVG}g")[-2:]
        zero = float(less.find(f"{SVG}line").get("x1"))
        left, right = less.find(f"{SVG}rect"), more.find(f"{SVG}rect")
        assert float(left.get("x")) + float(left.get("width")) == pytest.approx(zero, abs=0.1)
        assert float(right.get("x")) == pytest.approx(zero, abs=0.1)
        assert float(right.get("width")) == pytest.approx(3 * float(left.get("width")), rel=0.01)

    def test_what_is_missing_is_written_there_whatever_it_is_called(self):
        odd = [Resource(f'aws_<&">\x01{number}_{"x" * 40}', "a") for number in range(4)]
        texts = self.texts(self.drawn(estimated(Plan(tuple(odd)))))
        missing = " ".join(texts[texts.index("What a choice costs or saves, USD an idle month") + 1 :])
        assert missing.startswith("Missing from all sums, because no price is known: ")
        assert 'aws_<&">?3_' in missing

    def test_a_plan_that_costs_nothing_has_a_picture(self):
        assert self.drawn(estimated(Plan((Resource("aws_vpc", "v"),)))).tag == f"{SVG}svg"


class TestCommand:
    def test_it_is_listed(self):
        assert COMMANDS["cost"][0] == "shopstream.cli.cost:cost"

    def test_without_options_it_prices_the_default_deployment(self, called):
        code, out, err = called()
        assert (code, err) == (0, "")
        assert out.startswith("1.08 USD for 3 h, 5,000 orders; 0.33 USD an hour")
        assert "not counted: AWS's free tiers" in out

    def test_hours_and_orders_are_those_of_the_run(self, called):
        code, out, _ = called("--hours", "10", "--orders", "0", "--json")
        data = json.loads(out)
        assert code == 0
        assert data["total"]["run"] == pytest.approx(10 * data["total"]["idle_hour"])

    def test_a_plan_is_priced_in_the_place_of_the_sample(self, called, tmp_path):
        path = tmp_path / "plan.json"
        resources = [{"mode": "managed", "type": kind, "name": "x"} for kind in ("aws_nat_gateway", "aws_lb")]
        path.write_text(json.dumps({"planned_values": {"root_module": {"resources": resources}}}), encoding="utf-8")
        code, out, _ = called("--plan", path, "--json")
        data = json.loads(out)
        assert code == 0
        assert data["total"]["idle_hour"] == 0.045
        assert data["unpriced"] == [{"what": "aws_lb", "count": 1}]

    def test_a_picture_is_written_beside_the_report(self, called, tmp_path):
        path = tmp_path / "cost.svg"
        code, out, _ = called("--plot", path)
        assert code == 0
        assert out.startswith("1.08 USD")
        assert ET.parse(path).getroot().tag == f"{SVG}svg"

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (("--hours", "0"), "hours"),
            (("--hours", "-1"), "hours"),
            (("--hours", "8761"), "hours"),
            (("--hours", "inf"), "hours"),
            (("--hours", "nan"), "hours"),
            (("--hours", "many"), "hours"),
            (("--orders", "-1"), "orders"),
            (("--orders", "1.5"), "orders"),
            (("--plan", "no/such/plan.json"), "cannot be read"),
            (("--plot", "no/such/folder/cost.svg"), "cannot be written"),
            (("surplus",), "unexpected extra argument"),
        ],
    )
    def test_wrong_use_is_refused_with_exit_code_2(self, called, tmp_path, monkeypatch, arguments, complaint):
        monkeypatch.chdir(tmp_path)
        code, out, err = called(*arguments)
        assert (code, out) == (2, "")
        assert complaint in err
        assert "Traceback" not in err

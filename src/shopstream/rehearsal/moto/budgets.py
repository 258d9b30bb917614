"""Budgets with notifications, subscribers and tags.

AWS: the AWS Budgets part of the "AWS Billing and Cost Management API Reference".

moto: keeps notifications with what subscribers they were made with, and answers neither for subscribers nor for tags
nor updates; a notification of an unknown budget is an internal error.

Here: those calls, over moto's own objects. A notification is known by its type, operator, threshold and threshold type.
Nothing is ever spent, so no notification is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.budgets.exceptions import DuplicateRecordException, NotFoundException
from moto.budgets.models import Budget, BudgetsBackend
from moto.budgets.responses import BudgetsResponse

from shopstream.rehearsal.moto.patching import added, around

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Teach moto's budgets."""
    around(BudgetsResponse, "create_budget", _create_budget)
    around(BudgetsBackend, "create_notification", _create_notification)
    around(BudgetsBackend, "delete_notification", _delete_notification)
    around(BudgetsBackend, "describe_notifications_for_budget", _notifications)
    for name, method in {
        "update_budget": _update_budget,
        "describe_subscribers_for_notification": _subscribers,
        "create_subscriber": _create_subscriber,
        "delete_subscriber": _delete_subscriber,
        "list_tags_for_resource": _list_tags,
        "tag_resource": _tag,
        "untag_resource": _untag,
    }.items():
        added(BudgetsResponse, name, method)


def _budget(backend: Any, account: str, name: str) -> Any:
    try:
        return backend.budgets[account][name]
    except KeyError as error:
        raise NotFoundException(f"Unable to get budget: {name} - the budget doesn't exist.") from error


def _asked_for(response: Any) -> Any:
    return _budget(response.backend, response._get_param("AccountId"), response._get_param("BudgetName"))  # noqa: SLF001


def _key(notification: dict[str, Any]) -> tuple[Any, ...]:
    return (
        notification["NotificationType"],
        notification["ComparisonOperator"],
        float(notification["Threshold"]),
        notification.get("ThresholdType", "PERCENTAGE"),
    )


def _notification(budget: Any, details: dict[str, Any]) -> Any:
    for each in budget.notifications:
        if _key(each.details) == _key(details):
            return each
    raise NotFoundException("Unable to find the notification - it doesn't exist.")


def _create_budget(original: Callable[..., str], response: Any) -> str:
    answer = original(response)
    account, budget = response._get_param("AccountId"), response._get_param("Budget")  # noqa: SLF001
    tags = response._get_param("ResourceTags") or []  # noqa: SLF001
    _budget(response.backend, account, budget["BudgetName"]).tags = {each["Key"]: each["Value"] for each in tags}
    return answer


def _update_budget(response: Any) -> str:
    new = response._get_param("NewBudget")  # noqa: SLF001
    budget = _budget(response.backend, response._get_param("AccountId"), new["BudgetName"])  # noqa: SLF001
    checked = Budget({**new, "TimePeriod": new.get("TimePeriod") or budget.budget["TimePeriod"]}, [])
    budget.budget = checked.budget
    return "{}"


def _create_notification(
    original: Callable[..., None],
    backend: Any,
    account_id: str,
    budget_name: str,
    notification: dict[str, Any],
    subscribers: list[dict[str, Any]],
) -> None:
    for each in _budget(backend, account_id, budget_name).notifications:
        if _key(each.details) == _key(notification):
            raise DuplicateRecordException("notification", budget_name)
    original(
        backend, account_id=account_id, budget_name=budget_name, notification=notification, subscribers=subscribers
    )


def _delete_notification(
    _original: Callable[..., None], backend: Any, account_id: str, budget_name: str, notification: dict[str, Any]
) -> None:
    budget = _budget(backend, account_id, budget_name)
    budget.notifications.remove(_notification(budget, notification))


def _notifications(_original: Callable[..., Any], backend: Any, account_id: str, budget_name: str) -> Any:
    return _budget(backend, account_id, budget_name).get_notifications()


def _subscribers(response: Any) -> str:
    notification = _notification(_asked_for(response), response._get_param("Notification"))  # noqa: SLF001
    return json.dumps({"Subscribers": notification.subscribers})


def _create_subscriber(response: Any) -> str:
    notification = _notification(_asked_for(response), response._get_param("Notification"))  # noqa: SLF001
    subscriber = response._get_param("Subscriber")  # noqa: SLF001
    if subscriber in notification.subscribers:
        raise DuplicateRecordException("subscriber", subscriber["Address"])
    notification.subscribers.append(subscriber)
    return "{}"


def _delete_subscriber(response: Any) -> str:
    notification = _notification(_asked_for(response), response._get_param("Notification"))  # noqa: SLF001
    subscriber = response._get_param("Subscriber")  # noqa: SLF001
    if subscriber not in notification.subscribers:
        raise NotFoundException("Unable to delete subscriber - it doesn't exist.")
    notification.subscribers.remove(subscriber)
    return "{}"


def _tagged(response: Any) -> dict[str, str]:
    # arn:aws:budgets::123456789012:budget/name
    arn = response._get_param("ResourceARN")  # noqa: SLF001
    budget = _budget(response.backend, arn.split(":")[4], arn.partition(":budget/")[2])
    budget.tags = getattr(budget, "tags", {})
    tags: dict[str, str] = budget.tags
    return tags


def _list_tags(response: Any) -> str:
    return json.dumps({"ResourceTags": [{"Key": key, "Value": value} for key, value in _tagged(response).items()]})


def _tag(response: Any) -> str:
    wanted = response._get_param("ResourceTags")  # noqa: SLF001
    _tagged(response).update({each["Key"]: each["Value"] for each in wanted})
    return "{}"


def _untag(response: Any) -> str:
    tags = _tagged(response)
    for key in response._get_param("ResourceTagKeys"):  # noqa: SLF001
        tags.pop(key, None)
    return "{}"

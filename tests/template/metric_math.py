"""The part of CloudWatch's metric math that the alarms use, for one period: numbers, + - * /, comparisons, AND, OR, IF.

As CloudWatch documents it: a comparison is 1 or 0; what is computed from a missing value, or divided by zero, is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Value = float | None
_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z]\w*)|(<=|>=|==|!=|[-+*/()<>,]))")


def evaluate(expression: str, values: Mapping[str, Value]) -> Value:
    """The expression's value; None where it is missing."""
    tokens = _tokens(expression)
    parser = _Parser(tokens, values)
    found = parser.either()
    assert not parser.left, parser.left
    return found


def _tokens(expression: str) -> list[str]:
    found, place = [], 0
    while place < len(expression.rstrip()):
        match = _TOKEN.match(expression, place)
        assert match, expression[place:]
        found.append(match[0].strip())
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[str], values: Mapping[str, Value]) -> None:
        self.left, self.values = tokens, values

    def take(self, *expected: str) -> str:
        token = self.left.pop(0)
        assert not expected or token in expected, f"{token} where {expected} should be"
        return token

    def next_is(self, *tokens: str) -> bool:
        return bool(self.left) and self.left[0] in tokens

    def either(self) -> Value:
        found = self.both()
        while self.next_is("OR"):
            self.take()
            other = self.both()
            found = None if found is None or other is None else float(bool(found) or bool(other))
        return found

    def both(self) -> Value:
        found = self.compared()
        while self.next_is("AND"):
            self.take()
            other = self.compared()
            found = None if found is None or other is None else float(bool(found) and bool(other))
        return found

    def compared(self) -> Value:
        left = self.sum()
        if not self.next_is("<", ">", "<=", ">=", "==", "!="):
            return left
        operator, right = self.take(), self.sum()
        if left is None or right is None:
            return None
        return float(
            {
                "<": left < right,
                ">": left > right,
                "<=": left <= right,
                ">=": left >= right,
                "==": left == right,
                "!=": left != right,
            }[operator]
        )

    def sum(self) -> Value:
        found = self.product()
        while self.next_is("+", "-"):
            sign, other = (1 if self.take() == "+" else -1), self.product()
            found = None if found is None or other is None else found + sign * other
        return found

    def product(self) -> Value:
        found = self.atom()
        while self.next_is("*", "/"):
            operator, other = self.take(), self.atom()
            if found is None or other is None or (operator == "/" and other == 0):
                found = None
            else:
                found = found * other if operator == "*" else found / other
        return found

    def atom(self) -> Value:
        token = self.take()
        if token == "(":
            found = self.either()
            self.take(")")
            return found
        if token == "IF":
            self.take("(")
            condition = self.either()
            self.take(",")
            then = self.either()
            self.take(",")
            otherwise = self.either()
            self.take(")")
            return None if condition is None else then if condition else otherwise
        return float(token) if token[0].isdigit() else self.values[token]

"""The texts of the filled mailboxes, in English and Chinese, with realistic word frequencies.

One seed determines everything, so that two fills have the same texts. Some passages are more
frequent than others. `body_shares` contains the share of the messages that have a word,
and `words_of` returns the words of a given share.
"""

# ruff: noqa: SIM905  # lists of words read best as text

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from outbox.mail.search_terms import terms_of

PASSAGES = 3_000  # of each language
PER_MESSAGE = 4  # passages
SUBJECTS = 300  # of each language
PEOPLE = 20_000
DOMAINS = 800

_USUAL = """the to and of a in for you your with is on this that we it are be as have please will
from our can not by or if at was all an more order invoice payment delivery account team date number
thank meeting report question week month customer price service address""".split()
_SYLLABLES = (
    "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo za bren clo dra fle gri".split()
)
_SUBJECTS = """Invoice Reminder Order Receipt Meeting Report Question Offer Welcome Delivery
Contract Newsletter Ticket Booking Minutes""".split()
_USUAL_ZH = """我们 您好 谢谢 订单 发票 付款 会议 报告 客户 价格 服务 地址 日期 问题 合同 通知 附件
请查收 确认 安排 时间 项目 计划 公司 产品""".split()
_RARE_ZH = "山水云石竹梅兰菊松鹤龙凤虎鹿雁鹰琴棋书画诗酒茶花雪月风雨雷电金银铜铁锡玉珠贝锦绣"


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its terms in the index."""

    text: str
    terms: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Text:
        """Split the text as the index does."""
        return cls(text, tuple(terms_of(text)))


@dataclass(frozen=True, slots=True)
class Person:
    """A recipient."""

    name: str
    address: str


def drawn(count: int) -> list[float]:
    """Return how often each of so many is drawn by `floor(count * random() ^ 3)`."""
    edges = [(place / count) ** (1 / 3) for place in range(count + 1)]
    return [above - below for below, above in pairwise(edges)]


class Words:
    """All texts, and the frequency of their terms in the messages of one language."""

    def __init__(self, seed: int = 4) -> None:
        self._random = random.Random(seed)  # noqa: S311  # the same each time is the point
        self._rare = sorted({self._word() for _ in range(30_000)})
        self.english = [Text.of(self._passage()) for _ in range(PASSAGES)]
        self.chinese = [Text.of(self._passage_zh()) for _ in range(PASSAGES)]
        self.subjects = [Text.of(self._subject(at)) for at in range(SUBJECTS)]
        self.subjects_zh = [Text.of(self._subject_zh(at)) for at in range(SUBJECTS)]
        domains = [f"{self._rare_word()}{at}.example" for at in range(DOMAINS)]
        self.people = [self._person(at, domains) for at in range(PEOPLE)]

    def _word(self) -> str:
        return "".join(self._random.choices(_SYLLABLES, k=self._random.randint(2, 4)))

    def _rare_word(self) -> str:
        return self._rare[int(len(self._rare) * self._random.random() ** 2)]

    def _passage(self) -> str:
        usual = [_USUAL[int(len(_USUAL) * self._random.random() ** 2)] for _ in range(20)]
        words = usual + [self._rare_word() for _ in range(6)]
        self._random.shuffle(words)
        return " ".join(words).capitalize() + "."

    def _passage_zh(self) -> str:
        words = self._random.choices(_USUAL_ZH, k=10)
        words += ["".join(self._random.choices(_RARE_ZH, k=2)) for _ in range(3)]
        self._random.shuffle(words)
        return f"{''.join(words[:6])},{''.join(words[6:])}。"

    def _subject(self, at: int) -> str:
        return f"{_SUBJECTS[at % len(_SUBJECTS)]} {self._rare_word()} {self._rare_word()}"

    def _subject_zh(self, at: int) -> str:
        return _USUAL_ZH[3 + at % 12] + "".join(self._random.choices(_RARE_ZH, k=3))

    def _person(self, at: int, domains: Sequence[str]) -> Person:
        first, last = self._rare_word().capitalize(), self._rare_word().capitalize()
        name = "".join(self._random.choices(_RARE_ZH, k=3)) if at % 7 == 0 else f"{first} {last}"
        domain = domains[int(DOMAINS * self._random.random() ** 3)]
        return Person(name, f"{first}.{last}{at}@{domain}".lower())

    @cached_property
    def body_shares(self) -> dict[str, float]:
        """Return which share of the English messages has each word in its body."""
        return _shares(self.english, PER_MESSAGE)

    @cached_property
    def body_shares_zh(self) -> dict[str, float]:
        """Return which share of the Chinese messages has each pair of characters in its body."""
        return _shares(self.chinese, PER_MESSAGE)

    @cached_property
    def subject_shares(self) -> dict[str, float]:
        """Return which share of the English messages has each word in its subject."""
        return _shares(self.subjects, 1)


def _shares(texts: Sequence[Text], times: int) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for text, share in zip(texts, drawn(len(texts)), strict=True):
        for term in set(text.terms):
            found[term] += share
    return {term: 1 - (1 - share) ** times for term, share in found.items()}


def words_of(shares: dict[str, float], least: float, most: float) -> list[str]:
    """Return the words of two or more characters whose share is in this range."""
    return sorted(term for term, share in shares.items() if least <= share < most and term[1:])

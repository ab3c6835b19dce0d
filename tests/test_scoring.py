"""The image score: known answers, floors, sanity cases, and what it must refuse."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ganlib import checks, data, pairs, scoring
from ganlib.data import Samples
from ganlib.scoring import Scorer

COUNT = 400


@pytest.fixture(scope="module")
def parts() -> tuple[Samples, ...]:
    return scoring.split(data.digits(), 449, 449, 449, 449, seed=0)


@pytest.fixture(scope="module")
def judge(parts: tuple[Samples, ...]) -> Scorer:
    return scoring.fit_scorer(parts[0], parts[3], seed=0)


@pytest.fixture
def by_hand() -> Scorer:
    """Two features, the two pixels themselves; the class is the larger one."""
    layer = nn.Linear(2, 2, bias=False)
    nn.init.eye_(layer.weight)
    reference = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
    return Scorer(
        nn.Sequential(nn.Identity(), layer), (2,), reference, torch.tensor([0.5, 0.5]).double(), 1.0
    )


def test_split_is_disjoint_seeded_and_keeps_labels_with_images() -> None:
    numbered = Samples("numbers", torch.arange(50.0)[:, None], torch.arange(50))
    parts = scoring.split(numbered, 10, 15, 5, seed=3)
    assert [len(part) for part in parts] == [10, 15, 5]
    together = torch.cat([part.values for part in parts]).flatten()
    assert len(together.unique()) == 30
    for part in parts:
        assert torch.equal(part.values[:, 0].long(), part.labels)
    again = scoring.split(numbered, 10, 15, 5, seed=3)
    assert torch.equal(parts[1].values, again[1].values)
    assert not torch.equal(parts[1].values, scoring.split(numbered, 10, 15, 5, seed=4)[1].values)
    assert scoring.split(Samples("bare", torch.zeros(4, 1)), 2)[0].labels is None


def test_split_may_use_all_samples() -> None:
    parts = scoring.split(Samples("numbers", torch.arange(5.0)[:, None]), 2, 3)
    assert torch.cat([part.values for part in parts]).flatten().sort().values.tolist() == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip


@pytest.mark.parametrize("sizes", [(), (0,), (3, -1), (30, 21), (2.5,), (True,)])
def test_split_refuses_impossible_sizes(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"sum at most the 50|a size is"):
        scoring.split(Samples("numbers", torch.zeros(50, 1)), *sizes)


def test_score_by_hand(by_hand: Scorer) -> None:
    # Mean (1, 1), unbiased covariance [[2, -4/3], [-4/3, 2]]: total variance 4.
    assert scoring.score(by_hand, by_hand.reference).frechet == pytest.approx(0, abs=1e-6)
    # A shift of (2, 0) costs 2^2 / 4; one stuck image at the mean costs the whole variance.
    shifted = by_hand.reference + torch.tensor([2.0, 0.0])
    assert scoring.score(by_hand, shifted).frechet == pytest.approx(1.0, abs=1e-6)
    stuck = torch.ones(7, 2)
    assert scoring.score(by_hand, stuck).frechet == pytest.approx(1.0, abs=1e-6)
    # Shares (3/4, 1/4) against (1/2, 1/2), and one class against both.
    three = torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    found = scoring.score(by_hand, three)
    assert found.class_kl == pytest.approx(expected)
    assert found.classes == 2
    one = scoring.score(by_hand, torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    assert one.class_kl == pytest.approx(math.log(2))
    assert one.classes == 1


def test_a_class_counts_from_a_tenth_of_its_share(by_hand: Scorer) -> None:
    def with_rare(count: int) -> int:
        rows = torch.tensor([[1.0, 0.0]]).repeat(1000, 1)
        rows[:count] = torch.tensor([0.0, 1.0])
        return scoring.score(by_hand, rows).classes

    assert with_rare(50) == 2
    assert with_rare(49) == 1


def test_frechet_depends_on_no_unit(by_hand: Scorer) -> None:
    images = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    large = Scorer(
        by_hand.classifier, (2,), 100 * by_hand.reference, by_hand.class_shares, by_hand.accuracy
    )
    assert scoring.score(large, 100 * images).frechet == pytest.approx(
        scoring.score(by_hand, images).frechet, rel=1e-4
    )


def test_the_judge_knows_its_digits(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    assert 0.85 < judge.accuracy <= 1
    # On another held-out part it is as good as it says, five standard errors allowed.
    unseen = parts[2]
    right = (scoring.classify(judge, unseen.values) == unseen.labels).double().mean().item()
    assert abs(right - judge.accuracy) < 5 * math.sqrt(2 * 0.05 * 0.95 / 449)
    assert judge.class_shares.sum() == pytest.approx(1)
    assert judge.reference.shape == (449, 32)
    assert torch.equal(scoring.features(judge, parts[3].values), judge.reference)
    assert (judge.reference >= 0).all()  # after the activation
    assert not any(weight.requires_grad for weight in judge.classifier.parameters())


def test_sanity_cases(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    _, train, unseen, _ = parts
    floor = scoring.score(judge, unseen.values[:COUNT])
    copies = scoring.score(judge, train.values[:COUNT])
    assert floor.classes == copies.classes == 10
    assert 0 < floor.frechet < 0.03
    assert 0 < copies.frechet < 0.03  # memorising is invisible
    theory = 9 / 2 * (1 / COUNT + 1 / 449)
    assert theory / 10 < floor.class_kl < 5 * theory

    rng = torch.Generator().manual_seed(0)
    noise = scoring.score(judge, 2 * torch.rand(COUNT, 64, generator=rng) - 1)
    ones = train.values[train.labels == 1]
    single = scoring.score(judge, ones)
    stuck = scoring.score(judge, train.values[:1].expand(COUNT, -1, -1, -1))
    for cheat in (noise, single, stuck):
        assert cheat.frechet > 10 * floor.frechet
    assert single.class_kl > 1 > 10 * floor.class_kl
    assert stuck.class_kl > 2
    assert stuck.classes == 1


def test_more_of_a_good_thing_is_better(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    """The score falls step by step as real images replace noise."""
    real = parts[2].values[:COUNT].flatten(1)
    noise = 2 * torch.rand(COUNT, 64, generator=torch.Generator().manual_seed(1)) - 1
    found = [
        scoring.score(judge, torch.cat([real[:k], noise[k:]])).frechet
        for k in (0, COUNT // 4, COUNT // 2, 3 * COUNT // 4, COUNT)
    ]
    assert found == sorted(found, reverse=True)


def test_dropping_classes_shows(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    unseen = parts[2]
    half = scoring.score(judge, unseen.values[unseen.labels < 5])
    assert half.classes < 10
    assert abs(half.class_kl - math.log(2)) < 0.2


def test_flat_and_square_images_score_alike(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    images = parts[2].values[:100]
    assert scoring.score(judge, images) == scoring.score(judge, images.flatten(1))


def test_the_judge_is_seeded_and_leaves_the_global_state(parts: tuple[Samples, ...]) -> None:
    before = torch.get_rng_state()
    first, again, other = (
        scoring.fit_scorer(parts[0], parts[3], steps=150, seed=seed) for seed in (5, 5, 6)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.reference, again.reference)
    assert not torch.equal(first.reference, other.reference)


def test_nearest_in_training(parts: tuple[Samples, ...]) -> None:
    _, train, unseen, reference = parts
    distance, rows = scoring.nearest(train.values[7:9], train.values)
    assert distance.tolist() == [0, 0]
    assert rows.tolist() == [7, 8]
    assert scoring.nearest_in_training(train.values, train.values, unseen.values) > 0.99
    assert scoring.nearest_in_training(unseen.values, train.values, unseen.values) < 0.01
    # A third real set knows neither: one half, six standard errors of 449 draws allowed.
    share = scoring.nearest_in_training(reference.values, train.values, unseen.values)
    assert abs(share - 0.5) < 6 * 0.5 / math.sqrt(449)
    same = scoring.nearest_in_training(reference.values, train.values, train.values)
    assert same == 0.5  # ties count one half


def test_bad_input_is_refused(judge: Scorer, parts: tuple[Samples, ...]) -> None:
    train, reference = parts[0], parts[3]
    with pytest.raises(ValueError, match=r"\(N, 64\) or"):
        scoring.score(judge, torch.zeros(5, 63))
    with pytest.raises(ValueError, match="N >= 1"):
        scoring.classify(judge, torch.zeros(0, 64))
    with pytest.raises(ValueError, match="NaN"):
        scoring.features(judge, torch.full((5, 64), math.nan))
    with pytest.raises(ValueError, match="at least 2"):
        scoring.score(judge, torch.zeros(1, 64))
    bare = Samples("bare", train.values)
    with pytest.raises(ValueError, match="labels"):
        scoring.fit_scorer(bare, reference)
    with pytest.raises(ValueError, match="must be the same"):
        scoring.fit_scorer(Samples("flat", train.values.flatten(1), train.labels), reference)
    ones = reference.labels == 1
    lacking = Samples("ones", reference.values[ones], reference.labels[ones])
    with pytest.raises(ValueError, match="never answers with class"):
        scoring.fit_scorer(train, lacking, steps=150)
    with pytest.raises(ValueError, match="equally many"):
        scoring.nearest_in_training(train.values, train.values, train.values[:10])
    with pytest.raises(ValueError, match="equally many values"):
        scoring.nearest(torch.zeros(3, 5), train.values)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0 to 1", lambda x: (x + 1) / 2),
        ("0 to 255", lambda x: (x + 1) * 127.5),
        ("0 to 1, seldom full", lambda x: (x + 1) / 2 * 0.97),
    ],
)
def test_another_scale_is_refused_and_the_advice_works(judge, parts, name: str, change) -> None:
    unseen = parts[2].values[:COUNT]
    images = change(unseen)
    with pytest.raises(
        ValueError, match=r"images have values from 0 to .*real ones from -1 to 1"
    ) as caught:
        scoring.score(judge, images)
    advice = str(caught.value).split("pass ")[1]
    mended = eval(advice, {"images": images})
    assert scoring.score(judge, mended).frechet < 0.03
    with checks.off():
        assert scoring.score(judge, images).frechet > 0.1  # what it would have said


def test_values_outside_the_scale_are_refused_and_may_be_cut(judge, parts) -> None:
    images = 1.5 * parts[2].values[:COUNT]
    with pytest.raises(ValueError, match=r"from -1.5 to 1.5.*images.clamp\(-1, 1\)"):
        scoring.features(judge, images)
    assert scoring.score(judge, images.clamp(-1, 1)).classes == 10
    # What a generator may well make: grey, dark, faint and slightly too bright images.
    for level in (0.0, -1.0, 0.3, 1.0):
        scoring.classify(judge, torch.full((3, 64), level))
    scoring.classify(judge, 1.04 * parts[2].values)
    scoring.classify(judge, torch.linspace(0, 0.5, 64).expand(3, 64))


def test_the_judge_works_in_other_formats_and_defaults(judge, parts) -> None:
    images = parts[2].values[:50]
    expected = scoring.score(judge, images)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        assert scoring.score(judge, images.to(dtype)).frechet == pytest.approx(
            expected.frechet, rel=0.05
        )
    with torch.device("meta"):
        again = scoring.fit_scorer(parts[0], parts[3], seed=0)
        assert torch.equal(again.reference, judge.reference)
        assert scoring.score(again, images) == expected
        assert scoring.split(parts[2], 5)[0].values.device.type == "cpu"
        assert scoring.nearest_in_training(images, images, images) == 0.5
        labelled = scoring.label_accuracy(judge, images, parts[2].labels[:50])
        assert 0.5 < labelled.accuracy <= 1
    with pytest.raises(TypeError, match=r"images has dtype torch.uint8.*images.float"):
        scoring.score(judge, images.to(torch.uint8))


def test_label_accuracy(by_hand: Scorer, judge: Scorer, parts: tuple[Samples, ...]) -> None:
    images = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    got = scoring.label_accuracy(by_hand, images, torch.tensor([0, 0, 1, 1]))
    assert got == (0.75, (1.0, 0.5), 1.0, 0.5)
    alone = scoring.label_accuracy(by_hand, images[:2], torch.tensor([0, 0]))
    assert alone.by_class[0] == 1
    assert math.isnan(alone.by_class[1])
    real = scoring.label_accuracy(judge, parts[2].values, parts[2].labels)
    assert abs(real.accuracy - real.perfect) < 0.1
    # Labels ignored: every class is asked for equally often, whatever is drawn.
    one = parts[2].values[:1].expand(200, -1, -1, -1)
    ignoring = scoring.label_accuracy(judge, one, torch.arange(200) % 10)
    assert ignoring.accuracy == pytest.approx(ignoring.featureless) == 0.1
    for labels in (torch.zeros(3), torch.zeros(4), torch.tensor([0, 0, 1, 2]), torch.arange(4) - 1):
        with pytest.raises(ValueError, match="labels"):
            scoring.label_accuracy(by_hand, images, labels)


def test_classification_accuracy(parts: tuple[Samples, ...]) -> None:
    """Perfect, class-blind, and collapsed within each class."""
    first, train, unseen, _ = parts
    perfect = scoring.classification_accuracy(train, unseen)
    assert perfect == pytest.approx(scoring.fit_scorer(train, unseen).accuracy)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    blind = scoring.classification_accuracy(
        Samples("blind", train.values, train.labels[order]), unseen
    )
    assert blind < 0.3
    one_each = torch.stack([train.values[train.labels == k][0] for k in range(10)])
    digits = torch.arange(400) % 10
    stuck = Samples("stuck", one_each[digits], digits)
    collapsed = scoring.classification_accuracy(stuck, unseen)
    assert blind < collapsed < perfect - 0.1
    # The judge itself reads every one of those images as what it was asked to be.
    judge = scoring.fit_scorer(first, unseen)
    assert scoring.label_accuracy(judge, stuck.values, digits).accuracy > 0.9 * perfect
    with pytest.raises(ValueError, match="images have values from 0 to 1"):
        scoring.classification_accuracy(
            Samples("half", (train.values + 1) / 2, train.labels), unseen
        )


def test_nearest_in_blocks_and_in_the_format_of_the_images(monkeypatch) -> None:
    rng = torch.Generator().manual_seed(0)
    images, real = torch.randn(40, 3, 5, generator=rng), torch.randn(60, 3, 5, generator=rng)
    real[:20] = images[:20]
    real[20:25] = real[20]
    gaps = torch.cdist(
        images.flatten(1).double(), real.flatten(1).double(),
        compute_mode="donot_use_mm_for_euclid_dist",
    )  # fmt: skip
    for block in (2**20, 100):
        monkeypatch.setattr(pairs, "BLOCK", block)
        distance, rows = scoring.nearest(images, real)
        torch.testing.assert_close(distance, gaps.min(1).values.float())
        torch.testing.assert_close(gaps.gather(1, rows[:, None])[:, 0], gaps.min(1).values)
    assert (distance[:20] == 0).all()
    assert scoring.nearest(images.half(), real.half())[0].dtype == torch.float16


def test_nearest_where_a_matrix_product_has_no_digit_left() -> None:
    # A cluster of 40 within 1e-3 beside a point 1e9 away: |x|^2 - 2 x.y + |y|^2 is all rounding.
    rng = torch.Generator().manual_seed(0)
    cluster = 1e-3 * torch.randn(40, 2, generator=rng, dtype=torch.float64)
    real = torch.cat([torch.tensor([[1e9, 1e9]], dtype=torch.float64), cluster])
    distance, rows = scoring.nearest(cluster, real)
    assert (distance == 0).all()
    assert rows.tolist() == list(range(1, 41))

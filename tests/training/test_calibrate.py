import numpy as np
import pytest

from segcli.training.calibrate import auroc, calibrate_gate, clopper_pearson_lower, resampled_threshold, round_down


@pytest.mark.parametrize(
    ("hits", "trials", "bound"),
    [(10, 10, 0.05 ** (1 / 10)), (8, 10, 0.4931), (50, 100, 0.4136), (0, 5, 0.0)],
)
def test_clopper_pearson_against_known_values(hits: int, trials: int, bound: float) -> None:
    assert clopper_pearson_lower(hits, trials) == pytest.approx(bound, abs=5e-5)


def test_598_positives_without_a_miss_certify_99_and_a_half_percent() -> None:
    assert clopper_pearson_lower(598, 598) >= 0.995 > clopper_pearson_lower(597, 597)


def test_clopper_pearson_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="3 hits in 2 trials"):
        clopper_pearson_lower(3, 2)


def test_auroc_by_hand() -> None:
    assert auroc(np.array([0.8, 0.4]), np.array([0.4, 0.1])) == pytest.approx((2 + 1.5) / 4)


def test_below_a_thousand_positives_none_may_be_lost() -> None:
    scores = np.linspace(0.1, 0.9, 999)
    assert resampled_threshold(scores, np.arange(999) % 20) == 0.1


def test_one_patient_with_low_scores_pulls_the_threshold_down_to_it() -> None:
    scores, patient = np.full(5000, 0.9), np.repeat(np.arange(50), 100)
    scores[:4] = 0.2  # four misses in 5,000 are allowed, but all lie in one patient
    assert resampled_threshold(scores, patient) == 0.2


@pytest.mark.parametrize(("value", "cut"), [(0.0357, 0.035), (0.5, 0.49), (0.02, 0.019), (3.2e-4, 3.1e-4), (0.0, 0.0)])
def test_thresholds_are_rounded_down(value: float, cut: float) -> None:
    assert round_down(value) == cut


def crops(positives: int, empties: int, labels: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    score = np.concatenate([draw.uniform(0.6, 1.0, positives), draw.uniform(0.0, 0.4, empties)])
    present = np.arange(positives + empties) < positives
    return np.stack([score] * labels, 1), np.stack([present] * labels, 1), np.arange(positives + empties) % 10


def test_a_clean_separation_gives_a_gate() -> None:
    gate = calibrate_gate(*crops(250, 100, labels=2)).gate
    assert gate is not None
    assert gate.positives == (250, 250)
    assert gate.patients == (10, 10)
    assert gate.sensitivity == (1.0, 1.0)
    assert gate.auroc == (1.0, 1.0)
    assert gate.gated_empty == 1.0
    assert gate.lower_bound[0] == pytest.approx(0.05 ** (1 / 250), abs=1e-6)
    assert 0.4 < gate.threshold[0] < 0.62


def test_too_few_positives_give_no_gate() -> None:
    calibration = calibrate_gate(*crops(199, 100))
    assert calibration.gate is None
    assert calibration.reason == "Gate not calibrated (needs 200 labelled crops, found 199). The model is complete."


def test_a_poor_classifier_gives_no_gate() -> None:
    probability, present, patient = crops(300, 100)
    calibration = calibrate_gate(np.roll(probability, 50, axis=0), present, patient)
    assert calibration.gate is None
    assert "AUROC" in calibration.reason


def test_no_empty_crop_at_all_gives_no_gate() -> None:
    assert calibrate_gate(*crops(300, 0)).gate is None


def test_shapes_must_agree() -> None:
    probability, present, patient = crops(300, 10)
    with pytest.raises(ValueError, match="patient is"):
        calibrate_gate(probability, present, patient[:-1])

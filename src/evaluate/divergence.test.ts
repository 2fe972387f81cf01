import assert from "node:assert/strict";
import { test } from "node:test";
import { uniform } from "../testing/random.js";
import { type Divergence, DivergenceStatistics, type PositionComparison } from "./divergence.js";

function positions(count: number): PositionComparison[] {
  const next = uniform(5);
  return Array.from({ length: count }, (_, i) => {
    const referenceNll = 6 * next();
    return { referenceNll, nll: referenceNll + 0.2 * next(), divergence: next() / 10, sameTop: i % 4 !== 0 };
  });
}

function resultOf(list: PositionComparison[]): Divergence {
  const statistics = new DivergenceStatistics(list.length);
  for (const position of list) {
    statistics.add(position);
  }
  return statistics.result();
}

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard error of the mean, by the two-pass definition. */
function errorOf(values: number[]): number {
  return Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)) / (values.length - 1));
}

function near(actual: number, expected: number, relative = 1e-6): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual} against ${expected}`);
}

function meanProduct(list: PositionComparison[]): number {
  return mean(list.map(({ nll }) => nll)) * mean(list.map(({ referenceNll }) => referenceNll));
}

test("ratio and difference of perplexities have the error of the paired differences", () => {
  const list = positions(400);
  const result = resultOf(list);
  const differences = list.map(({ nll, referenceNll }) => nll - referenceNll);
  near(result.pplRatio, Math.exp(mean(differences)));
  near(result.pplRatioError, result.pplRatio * errorOf(differences));
  near(result.pplDifference, result.ppl - result.reference.ppl);
  const covariance = mean(list.map(({ nll, referenceNll }) => nll * referenceNll)) - meanProduct(list);
  const paired = covariance / (list.length - 1);
  const squares = result.pplError ** 2 + result.reference.pplError ** 2;
  near(result.pplDifferenceError, Math.sqrt(squares - 2 * result.ppl * result.reference.ppl * paired));
  near(
    result.correlation,
    (paired * result.ppl * result.reference.ppl) / (result.pplError * result.reference.pplError),
  );
});

test("divergence, agreement and changes of probability are summed up over the positions", () => {
  const list = positions(401);
  const result = resultOf(list);
  const sorted = list.map(({ divergence }) => Math.fround(divergence)).sort((a, b) => a - b);
  near(result.kld.mean, mean(list.map(({ divergence }) => divergence)));
  near(result.kld.meanError, errorOf(list.map(({ divergence }) => divergence)));
  assert.equal(result.kld.median, sorted[200]);
  assert.equal(result.kld.p90, sorted[360]);
  assert.equal(result.kld.max, sorted[400]);
  assert.equal(result.kld.min, sorted[0]);
  near(result.topAgreement, 300 / 401);
  near(result.topAgreementError, Math.sqrt(((300 / 401) * (101 / 401)) / 400));
  const deltas = list.map(({ nll, referenceNll }) => Math.exp(-nll) - Math.exp(-referenceNll));
  near(result.deltaP.mean, mean(deltas));
  near(result.deltaP.rms, Math.sqrt(mean(deltas.map((delta) => delta * delta))));
  assert.equal(result.deltaP.p95, Math.fround(deltas.sort((a, b) => a - b)[380] as number));
});

test("a model compared with itself does not differ, without a NaN anywhere", () => {
  const list = positions(50).map((position) => ({
    ...position,
    nll: position.referenceNll,
    divergence: 0,
    sameTop: true,
  }));
  const result = resultOf(list);
  assert.deepEqual([result.pplRatio, result.pplRatioError, result.pplDifferenceError], [1, 0, 0]);
  assert.deepEqual([result.kld.mean, result.kld.meanError, result.topAgreement], [0, 0, 1]);
  assert.deepEqual([result.deltaP.rms, result.deltaP.rmsError], [0, 0]);
  assert.equal(result.correlation, 1);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { EnvironmentError } from "../errors.js";
import { applySamplers, type NativeSampler } from "../testing/llama-samplers.js";
import { RandomNumbers } from "./random.js";
import { rankTokens } from "./ranking.js";
import { candidateTokens, logProbabilities, Sampler } from "./sampler.js";

function randomLogits(count: number, seed: number, spread = 8): Float32Array {
  const random = new RandomNumbers(seed);
  return Float32Array.from({ length: count }, () => spread * (random.next() + random.next() - 1));
}

test("the tokens to choose from are those that llama.cpp's samplers leave", () => {
  const cases = [
    { topK: 40, topP: 0.95, minP: 0.05 },
    { topK: 5, topP: 1, minP: 0 },
    { topK: 0, topP: 0.7, minP: 0 },
    { topK: 0, topP: 0.9999, minP: 0 },
    { topK: 0, topP: 1, minP: 0.3 },
    { topK: 300, topP: 0.5, minP: 0.01 },
    { topK: 100_000, topP: 1, minP: 0 },
  ];
  for (const [seed, options] of cases.entries()) {
    for (const spread of [0.1, 8, 60]) {
      const logits = randomLogits(1000, seed, spread);
      const samplers: NativeSampler[] = [
        ["top_k", options.topK],
        ["top_p", options.topP],
        ["min_p", options.minP],
      ];
      const expected = applySamplers(logits, samplers);
      const found = candidateTokens(logits, Math.max(...logits), options);
      assert.deepEqual(
        [...found].sort(byNumber),
        expected.sort(byNumber),
        JSON.stringify({ options, spread }),
      );
    }
  }
});

test("tokens are drawn as often as their probabilities say", () => {
  const logits = Float32Array.from([1, 2, 0, -1, 3]);
  const temperature = 1.5;
  const sampler = new Sampler({ temperature, topK: 0, topP: 1, minP: 0, seed: 11 });
  const draws = 40_000;
  const counts = new Array<number>(5).fill(0);
  for (let index = 0; index < draws; index++) {
    counts[sampler.sample(logits, [])]! += 1;
  }
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b);
  for (const [token, weight] of weights.entries()) {
    const expected = weight / total;
    const deviation = Math.sqrt((expected * (1 - expected)) / draws);
    assert.ok(Math.abs(counts[token]! / draws - expected) < 5 * deviation);
  }
});

test("equal seeds choose equally, others differently", () => {
  const logits = randomLogits(100, 5, 1);
  const choices = (seed: number) => {
    const sampler = new Sampler({ seed, temperature: 1 });
    return Array.from({ length: 20 }, () => sampler.sample(logits, []));
  };
  assert.deepEqual(choices(4), choices(4));
  assert.notDeepEqual(choices(4), choices(5));
  assert.notDeepEqual(choices(4), choices(4 + 2 ** 32));
  assert.notDeepEqual(choices(4), choices(-4));
});

test("without temperature the likeliest token is taken, the first of equal ones", () => {
  const logits = Float32Array.from([1, 5, Number.NaN, 5, 2]);
  assert.equal(new Sampler({ temperature: 0 }).sample(logits, []), 1);
});

test("penalties and biases change the choice", () => {
  const greedy = (options: object, previous: number[] = []) =>
    new Sampler({ temperature: 0, ...options }).sample(Float32Array.from([1, 3, 2.5]), previous);
  assert.equal(greedy({}), 1);
  assert.equal(greedy({ logitBias: [[0, 10]] }), 0);
  assert.equal(greedy({ presencePenalty: 1 }, [1]), 2);
  assert.equal(greedy({ frequencyPenalty: 0.3 }, [1]), 1);
  assert.equal(greedy({ frequencyPenalty: 0.3 }, [1, 1]), 2);
  assert.equal(greedy({ presencePenalty: 1 }, [1, ...new Array<number>(64).fill(0)]), 1);
});

test("log-probabilities are of all tokens together", () => {
  const logits = Float32Array.from([0, Math.log(2), Math.log(5), -Infinity]);
  const { chosen, top } = logProbabilities(logits, 0, 2);
  assert.ok(Math.abs(chosen.logprob - Math.log(1 / 8)) < 1e-6);
  assert.deepEqual(
    top.map(({ token }) => token),
    [2, 1],
  );
  assert.ok(Math.abs((top[0]?.logprob ?? 0) - Math.log(5 / 8)) < 1e-6);
});

test("ranking by insertion and by sorting agree", () => {
  const logits = randomLogits(2000, 3);
  logits.set([Number.NaN, -0, 0, Infinity, -Infinity, 1, 1, 1], 100);
  const sorted = rankTokens(logits, 2000);
  assert.deepEqual(rankTokens(logits, 200), sorted.subarray(0, 200));
  assert.equal(sorted.length, 1999);
  for (let index = 1; index < sorted.length; index++) {
    assert.ok(logits[sorted[index - 1]!]! >= logits[sorted[index]!]!);
  }
});

test("a model whose logits are no numbers is reported", () => {
  assert.throws(() => new Sampler().sample(new Float32Array(4).fill(Number.NaN), []), EnvironmentError);
});

function byNumber(a: number, b: number): number {
  return a - b;
}

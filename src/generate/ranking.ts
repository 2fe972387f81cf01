/** The tokens with the highest logits. */

/** Below this many, inserting into a sorted list is faster than sorting everything. */
const few = 256;
/** 2^21 tokens are ten times the largest vocabulary; with 32 bits of logit a key fills a double's 53 bits. */
const tokenKeys = 2 ** 21;

/**
 * Tokens by falling logit; of equal ones the lower number comes first. NaN is left out.
 * @param count at most this many
 */
export function rankTokens(logits: Float32Array, count: number): Int32Array {
  return count <= few ? insertHighest(logits, count) : sortAll(logits).subarray(0, count);
}

/** The token of the highest logit, or -1 if all are NaN or minus infinity. */
export function highestToken(logits: Float32Array): number {
  let best = -1;
  let highest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number;
    if (logit > highest) {
      highest = logit;
      best = token;
    }
  }
  return best;
}

function insertHighest(logits: Float32Array, count: number): Int32Array {
  const tokens = new Int32Array(count);
  const values = new Float32Array(count);
  let length = 0;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number;
    if (length === count ? !(logit > (values[count - 1] as number)) : Number.isNaN(logit)) {
      continue;
    }
    let at = length < count ? length++ : count - 1;
    for (; at > 0 && (values[at - 1] as number) < logit; at--) {
      values[at] = values[at - 1] as number;
      tokens[at] = tokens[at - 1] as number;
    }
    values[at] = logit;
    tokens[at] = token;
  }
  return tokens.subarray(0, length);
}

/** Sorts numbers made of the logit's bits, in an order-preserving form, and the token. */
function sortAll(logits: Float32Array): Int32Array {
  const keys = new Float64Array(logits.length);
  const value = new Float32Array(1);
  const bits = new Int32Array(value.buffer);
  let length = 0;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token] as number;
    if (Number.isNaN(logit)) {
      continue;
    }
    value[0] = logit + 0; // -0 becomes 0
    const pattern = bits[0] as number;
    const rising = pattern < 0 ? ~pattern >>> 0 : (pattern | 0x80000000) >>> 0;
    keys[length++] = (2 ** 32 - 1 - rising) * tokenKeys + token;
  }
  const sorted = keys.subarray(0, length).sort();
  return Int32Array.from(sorted, (key) => key % tokenKeys);
}

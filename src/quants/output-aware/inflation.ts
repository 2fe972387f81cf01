/**
 * By how much least-squares codes would shrink a row: <W,W> / <W,Q> - 1 for the codes of `start` at their
 * least-squares scale, whatever scale they have.
 * @param weights how much each column matters
 * @param most upper limit; a row that is mostly noise must not explode
 */
export function inflationOf(
  row: Float32Array,
  start: Float32Array,
  weights: Float32Array,
  most: number,
): number {
  let [ww, wq, qq] = [0, 0, 0];
  for (let i = 0; i < row.length; i++) {
    const weight = weights[i]!;
    ww += weight * row[i]! * row[i]!;
    wq += weight * row[i]! * start[i]!;
    qq += weight * start[i]! * start[i]!;
  }
  const shrink = wq > 0 ? (ww * qq) / (wq * wq) : 1;
  return Math.min(Math.max(shrink - 1, 0), most);
}

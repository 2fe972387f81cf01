// Products of a batch of vectors with themselves, for second moments. The reference is src/moments/gram.ts.

/**
 * Eight rows of X^T X, from the diagonal block on: out[i][j] = sum over tokens t of x[t][8 panel + i] x[t][8 panel + j].
 * X lies in panels of eight columns: float32 (panel, token, column); `out` has eight rows of 8 (panels - panel)
 * values. Tokens are added in order, in float32.
 */
export function gram(x: usize, tokens: i32, panels: i32, panel: i32, out: usize): void {
  const panelBytes = <usize>tokens << 5;
  const left = x + <usize>panel * panelBytes;
  const rowBytes = <usize>(panels - panel) << 5;
  for (let other = panel; other < panels; other++, out += 32) {
    const right = x + <usize>other * panelBytes;
    four_rows(left, right, panelBytes, out, rowBytes);
    four_rows(left + 16, right, panelBytes, out + 4 * rowBytes, rowBytes);
  }
}

function four_rows(left: usize, right: usize, bytes: usize, out: usize, rowBytes: usize): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (let t: usize = 0; t < bytes; t += 32) {
    const r0 = v128.load(right + t);
    const r1 = v128.load(right + t, 16);
    let l = v128.load32_splat(left + t);
    a0 = f32x4.add(a0, f32x4.mul(l, r0));
    a1 = f32x4.add(a1, f32x4.mul(l, r1));
    l = v128.load32_splat(left + t, 4);
    b0 = f32x4.add(b0, f32x4.mul(l, r0));
    b1 = f32x4.add(b1, f32x4.mul(l, r1));
    l = v128.load32_splat(left + t, 8);
    c0 = f32x4.add(c0, f32x4.mul(l, r0));
    c1 = f32x4.add(c1, f32x4.mul(l, r1));
    l = v128.load32_splat(left + t, 12);
    d0 = f32x4.add(d0, f32x4.mul(l, r0));
    d1 = f32x4.add(d1, f32x4.mul(l, r1));
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  out += rowBytes;
  v128.store(out, b0);
  v128.store(out, b1, 16);
  out += rowBytes;
  v128.store(out, c0);
  v128.store(out, c1, 16);
  out += rowBytes;
  v128.store(out, d0);
  v128.store(out, d1, 16);
}

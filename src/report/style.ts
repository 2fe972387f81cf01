/** The report's style. Colours are variables; those of data can be told apart by colour-blind readers. */

const light = `
  --page: #fdfdfc; --panel: #f4f5f6; --ink: #1b1e22; --muted: #5b626b; --line: #dfe2e6; --link: #0b5a99;
  --series-1: #0b66a8; --series-2: #b8560b; --series-3: #00795a; --series-4: #97407a; --warn: #8a6a00;
  --variant-source: #5b626b; --variant-quantized: #0b66a8; --variant-baseline: #b8560b; --variant-other: #97407a;
  --on-low: #1b1e22; --on-high: #ffffff;
  --blue-0: #e6f0f7; --blue-1: #cbdfee; --blue-2: #a8cae3; --blue-3: #7fb1d5;
  --blue-4: #3f82b3; --blue-5: #29699b; --blue-6: #164d7c; --blue-7: #0a3157;
  --orange-0: #fbeee0; --orange-1: #f6dcc0; --orange-2: #efc497; --orange-3: #e5a568;
  --orange-4: #b9651f; --orange-5: #984c12; --orange-6: #73360b; --orange-7: #4d2206;`;

const dark = `
  --page: #14171a; --panel: #1d2125; --ink: #e8eaed; --muted: #a2a9b2; --line: #30363c; --link: #7db9ea;
  --series-1: #62b0e8; --series-2: #f0a35a; --series-3: #4fc9a4; --series-4: #e093c4; --warn: #d9b64a;
  --variant-source: #a2a9b2; --variant-quantized: #62b0e8; --variant-baseline: #f0a35a; --variant-other: #e093c4;
  --on-low: #f2f4f6; --on-high: #0d1013;
  --blue-0: #17242f; --blue-1: #19344a; --blue-2: #1c4665; --blue-3: #235b84;
  --blue-4: #5c9fcd; --blue-5: #84b9de; --blue-6: #add2ec; --blue-7: #d5e8f6;
  --orange-0: #2b2118; --orange-1: #402a16; --orange-2: #5a3715; --orange-3: #784816;
  --orange-4: #cf8a45; --orange-5: #e2a76c; --orange-6: #efc59a; --orange-7: #f8e0c8;`;

const ramps = ["blue", "orange"]
  .flatMap((ramp) =>
    Array.from({ length: 8 }, (_, step) => `.${ramp}-${step}{background:var(--${ramp}-${step})}`),
  )
  .join("\n");

/** The colours alone, as the reader has them: light or dark. */
export const colours = `:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }`;

export const style = `
${colours}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; -webkit-text-size-adjust: 100%; }
main, header, footer { max-width: 792px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 40px; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 6px; font-weight: 650; letter-spacing: -0.012em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 52px 0 6px; font-weight: 650; letter-spacing: -0.006em; }
h3 { font-size: 0.94rem; margin: 22px 0 4px; font-weight: 600; }
p { margin: 0 0 14px; overflow-wrap: anywhere; }
.lead { color: var(--muted); max-width: 68ch; font-size: 0.94rem; }
a { color: var(--link); }
code, pre { font: 0.86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { margin: 8px 0 14px; padding: 10px 12px; background: var(--panel); border-radius: 6px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.key { display: grid; grid-template-columns: 1fr 1fr; gap: 1px; margin: 24px 0 0; padding: 0; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.key div { box-shadow: 0 0 0 1px var(--line); padding: 12px 14px 11px; }
.key dt { color: var(--muted); font-size: 0.8rem; line-height: 1.3; }
.key dd { margin: 3px 0 0; font-size: 1.3rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.key small { display: block; margin-top: 1px; color: var(--muted); font-size: 0.8rem; line-height: 1.35; font-weight: 400; letter-spacing: 0; }
figure { margin: 14px 0 0; }
.chart { display: block; width: 100%; height: auto; color: var(--muted); overflow: visible; font-family: inherit; font-variant-numeric: tabular-nums; }
.chart text { white-space: pre; }
.chart [data-tip] { cursor: default; }
.wide { display: none; }
.narrow { max-width: 440px; }
.halves { display: grid; gap: 20px; }
.halves .chart { max-width: 440px; }
@media (min-width: 740px) {
  .wide { display: block; }
  .narrow { display: none; }
  .halves { grid-template-columns: 1fr 1fr; }
  .columns-2 { grid-template-columns: repeat(2, 1fr); }
  .columns-3 { grid-template-columns: repeat(3, 1fr); }
  .columns-4 { grid-template-columns: repeat(4, 1fr); }
  .columns-5 { grid-template-columns: repeat(5, 1fr); }
}
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 10px; padding: 0; list-style: none; font-size: 0.85rem; color: var(--muted); }
.legend li { display: flex; align-items: center; gap: 7px; }
.swatch { width: 14px; height: 14px; border-radius: 3px; }
.swatch.variant-source { background: var(--variant-source); }
.swatch.variant-quantized { background: var(--variant-quantized); }
.swatch.variant-baseline { background: var(--variant-baseline); }
.swatch.variant-other { background: var(--variant-other); }
.ramp { gap: 0; }
.ramp li { gap: 8px; }
.ramp li:last-child { padding-left: 0; }
.ramp li:first-child { flex-direction: row-reverse; }
.ramp .swatch { width: 22px; border-radius: 0; }
${ramps}
details { margin: 10px 0 0; }
summary { cursor: pointer; color: var(--link); font-size: 0.9rem; padding: 4px 0; width: fit-content; }
.scroll { overflow-x: auto; margin: 8px 0 16px; }
table { border-collapse: collapse; font-size: 0.86rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding: 0 0 6px; }
th, td { padding: 5px 16px 5px 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: baseline; white-space: nowrap; }
th { font-weight: 500; }
thead th { color: var(--muted); }
.number { text-align: right; }
.note { color: var(--muted); font-size: 0.82rem; margin: 10px 0 0; max-width: 84ch; }
.facts { width: 100%; }
.facts th { color: var(--muted); white-space: normal; overflow-wrap: anywhere; width: 11em; }
.facts td { white-space: normal; overflow-wrap: anywhere; }
.facts td code { word-break: break-all; }
@media (max-width: 600px) { .facts th, .facts td { display: block; width: auto; padding-right: 0; } .facts th { border: 0; padding-bottom: 0; } .facts td { padding-top: 1px; } }
.answers { padding-left: 1.6em; }
.failed strong { color: var(--series-2); }
.passed strong { color: var(--series-3); }
footer { margin-top: 56px; padding-bottom: 40px; color: var(--muted); font-size: 0.86rem; }
#tip { position: fixed; z-index: 1; left: 0; top: 0; max-width: min(340px, calc(100vw - 16px)); padding: 7px 10px; border-radius: 6px; background: var(--ink); color: var(--page); font-size: 0.82rem; line-height: 1.4; white-space: pre-line; overflow-wrap: anywhere; pointer-events: none; font-variant-numeric: tabular-nums; box-shadow: 0 2px 10px rgb(0 0 0 / 0.25); }
#tip[hidden] { display: none; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print { .wide { display: block; } .narrow, #tip { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
`;

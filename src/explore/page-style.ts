/** The explorer's style: the report's, and what the report does not have. */
import { style } from "../report/style.js";

export const explorerStyle = `${style}
.brand { margin: 0 0 6px; color: var(--muted); font-size: 0.86rem; font-weight: 600; }
.chart { width: auto; max-width: 100%; }
button, select, input { font: inherit; color: inherit; }
button { cursor: pointer; border: 1px solid var(--line); border-radius: 7px; background: var(--panel); padding: 6px 13px; min-height: 36px; font-size: 0.88rem; }
button:hover { border-color: var(--muted); }
select, input[type="text"], input[type="number"] { border: 1px solid var(--line); border-radius: 7px; background: var(--page); padding: 7px 10px; min-height: 38px; width: 100%; }
.row { display: flex; gap: 8px; }
#open { margin-top: 18px; }
#open > form > label { display: block; font-size: 0.82rem; color: var(--muted); margin-bottom: 4px; }
.file { color: var(--link); cursor: pointer; text-decoration: underline; }
.file input { position: absolute; width: 1px; height: 1px; opacity: 0; }
.file:focus-within { outline: 2px solid var(--link); outline-offset: 2px; }
.problem { margin: 16px 0; padding: 12px 14px; border: 1px solid var(--series-2); border-left-width: 5px; border-radius: 7px; }
.panel { margin-top: 22px; padding: 18px 18px 16px; border: 1px solid var(--line); border-radius: 12px; background: var(--panel); }
fieldset { border: 0; margin: 0 0 14px; padding: 0; min-width: 0; }
legend { padding: 0; font-size: 0.82rem; color: var(--muted); margin-bottom: 6px; }
.choices { display: flex; flex-wrap: wrap; gap: 6px; }
.choices + .choices { margin-top: 8px; }
.choices:empty { display: none; }
.choices button { background: var(--page); }
.choices button[aria-pressed="true"] { background: var(--link); border-color: var(--link); color: var(--page); font-weight: 600; }
.amount { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; font-size: 0.9rem; color: var(--muted); }
.amount output { font-size: 1.5rem; font-weight: 650; color: var(--ink); font-variant-numeric: tabular-nums; }
input[type="range"] { width: 100%; height: 34px; margin: 2px 0 0; accent-color: var(--link); cursor: pointer; }
.key { margin-top: 12px; background: var(--page); grid-template-columns: 1fr 1fr; }
@media (min-width: 740px) { .panel .key { grid-template-columns: repeat(4, 1fr); } }
#verdict { margin: 12px 0 12px; min-height: 3em; }
.bar { display: flex; height: 30px; border-radius: 6px; overflow: hidden; background: var(--page); border: 1px solid var(--line); }
.bar svg { display: block; width: 100%; height: 100%; }
.memory-key { margin: 9px 0 0; }
.memory-key b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.part-weights { background: var(--series-1); fill: var(--series-1); } .part-cache { background: var(--series-3); fill: var(--series-3); }
.part-compute { background: var(--series-4); fill: var(--series-4); } .part-margin { background: var(--muted); fill: var(--muted); }
.part-free { background: var(--line); fill: var(--line); }
.code { margin: 12px 0; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.code-head { display: flex; align-items: center; gap: 8px; padding: 7px 8px 7px 12px; font-size: 0.85rem; border-bottom: 1px solid var(--line); }
.code-head span { flex: 1; font-weight: 600; }
.code-head button { min-height: 32px; padding: 3px 11px; }
.code pre { margin: 0; border-radius: 0; max-height: 420px; overflow: auto; white-space: pre; overflow-wrap: normal; }
.settings { display: grid; gap: 12px 16px; margin-top: 10px; }
.settings label { font-size: 0.86rem; color: var(--muted); display: grid; gap: 4px; align-content: end; }
.settings label select, .settings label input { color: var(--ink); }
.settings .check { grid-template-columns: auto 1fr; gap: 9px; align-items: center; align-content: center; }
@media (min-width: 600px) { .settings { grid-template-columns: 1fr 1fr; } }
.dropping { outline: 3px dashed var(--link); outline-offset: -8px; }
[hidden] { display: none !important; }
`;

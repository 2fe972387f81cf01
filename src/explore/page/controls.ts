/** The controls: made once for a model, they read and show settings. */
import { cacheTypes, parseCacheType } from "../../engine/cache-types.js";
import { machineSizes } from "../../memory/machines.js";
import { roleOf } from "../../model/roles.js";
import { backends } from "../../quants/types.js";
import { quantizableNames } from "../../recipe/quantizable.js";
import { formatBytes } from "../../units.js";
import type { Explorer } from "../explorer.js";
import { type MemoryKind, memoryKinds, type Settings } from "../settings.js";
import { byId, element, fill } from "./elements.js";

const kindTitles: Readonly<Record<MemoryKind, string>> = {
  GPU: "Graphics card",
  Mac: "Mac",
  RAM: "Computer without card",
  file: "Just the file's size",
};

const backendTitles: Readonly<Record<string, string>> = {
  "": "any backend",
  cuda: "CUDA",
  metal: "Metal",
  vulkan: "Vulkan",
  cpu: "CPU",
};

/** Called with what changes. */
export type OnChange = (change: Partial<Settings>) => void;

/** Makes the controls that are the same for all models. */
export function startControls(onChange: OnChange): void {
  const select = (id: string, read: (value: string) => Partial<Settings>) => {
    byId<HTMLSelectElement>(id).addEventListener("change", ({ target }) =>
      onChange(read((target as HTMLSelectElement).value)),
    );
  };
  options(
    "key-type",
    cacheTypes.map((type) => [type, type]),
  );
  options(
    "value-type",
    cacheTypes.map((type) => [type, type]),
  );
  options(
    "backend",
    ["", ...backends].map((name) => [name, backendTitles[name] ?? name]),
  );
  select("context", (value) => ({ context: Number(value) }));
  select("key-type", (value) => ({ keyType: parseCacheType(value) }));
  select("value-type", (value) => ({ valueType: parseCacheType(value) }));
  select("backend", (value) => ({ backend: backends.find((name) => name === value) }));
  byId<HTMLInputElement>("sequences").addEventListener("change", ({ target }) => {
    const sequences = Math.min(
      1024,
      Math.max(1, Math.round(Number((target as HTMLInputElement).value)) || 1),
    );
    onChange({ sequences });
  });
  byId<HTMLInputElement>("importance").addEventListener("change", ({ target }) =>
    onChange({ hasImportance: (target as HTMLInputElement).checked }),
  );
  byId<HTMLInputElement>("amount").addEventListener("input", ({ target }) =>
    onChange({ gigabytes: Number((target as HTMLInputElement).value) }),
  );
  byId("settings").addEventListener("submit", (event) => event.preventDefault());
  fill("kinds", ...memoryKinds.map((kind) => choice(kindTitles[kind], { kind }, () => onChange({ kind }))));
}

function choice(title: string, data: Readonly<Record<string, string>>, onClick: () => void): HTMLElement {
  const button = element("button", { type: "button", "aria-pressed": "false" }, title);
  Object.assign(button.dataset, data);
  button.addEventListener("click", onClick);
  return button;
}

function options(id: string, entries: readonly (readonly [string, string])[]): void {
  fill(id, ...entries.map(([value, title]) => element("option", { value }, title)));
}

/** Makes the fields for pinned types: one for each role that is quantized. */
export function showPins({ model, settings }: Explorer, onChange: OnChange): void {
  const roles = [...new Set(quantizableNames(model.tensors).map(roleOf))].sort();
  const pinned = new Map(
    settings.pins.map((pin): [string, string] => [pin.replace(/=.*$/s, ""), pin.replace(/^[^=]*=/, "")]),
  );
  const fields = roles.map((role) => {
    const input = element("input", { type: "text", value: pinned.get(role) ?? "", placeholder: "any type" });
    input.dataset.role = role;
    input.addEventListener("change", () => onChange({ pins: readPins(settings.pins, roles) }));
    return element("label", {}, role, input);
  });
  fill("pins", ...fields);
}

/** What the fields say; pins of groups of roles, which only an address can have, stay. */
function readPins(before: readonly string[], roles: readonly string[]): string[] {
  const others = before.filter((pin) => !roles.some((role) => pin.startsWith(`${role}=`)));
  const fields = [...byId("pins").querySelectorAll<HTMLInputElement>("input[data-role]")];
  const given = fields
    .map(({ dataset, value }) => [dataset.role ?? "", value.trim()] as const)
    .filter(([, value]) => value !== "");
  return [...others, ...given.map(([role, value]) => `${role}=${value}`)];
}

/** Shows the settings in the controls. */
export function showSettings(settings: Settings, explorer: Explorer, onChange: OnChange): void {
  const { kind, gigabytes, context, sequences, keyType, valueType, backend, hasImportance } = settings;
  press("kinds", "kind", kind);
  const sizes = kind === "file" ? [] : machineSizes(kind);
  fill(
    "sizes",
    ...sizes.map((size) => choice(`${size} GB`, { size: `${size}` }, () => onChange({ gigabytes: size }))),
  );
  press("sizes", "size", `${gigabytes}`);
  showRange(explorer, gigabytes);
  showAmount(settings, explorer);
  options(
    "context",
    contexts(explorer, context).map((tokens) => [`${tokens}`, tokens.toLocaleString("en")]),
  );
  byId<HTMLSelectElement>("context").value = `${context}`;
  byId<HTMLInputElement>("sequences").value = `${sequences}`;
  byId<HTMLSelectElement>("key-type").value = keyType;
  byId<HTMLSelectElement>("value-type").value = valueType;
  byId<HTMLSelectElement>("backend").value = backend ?? "";
  byId<HTMLInputElement>("importance").checked = hasImportance;
}

/** Shows the amount of memory, while the slider moves or when a button chose it. */
export function showAmount({ kind, gigabytes }: Settings, explorer: Explorer): void {
  if (Number(byId<HTMLInputElement>("amount").value) !== gigabytes) {
    showRange(explorer, gigabytes);
  }
  byId("amount-label").textContent = kind === "file" ? "Size of the file" : "Memory";
  const text = kind === "file" ? formatBytes(1e9 * gigabytes) : `${gigabytes} GB ${kind}`;
  byId("amount-text").textContent = text;
  byId("amount").setAttribute("aria-valuetext", text);
  press("sizes", "size", `${gigabytes}`);
}

function showRange(explorer: Explorer, gigabytes: number): void {
  const { least, most, step } = explorer.range();
  const slider = byId<HTMLInputElement>("amount");
  const decimals = Math.max(0, Math.round(-Math.log10(step)));
  slider.step = `${step}`;
  slider.min = Math.max(step, Math.floor(Math.min(0.8 * least, gigabytes) / step) * step).toFixed(decimals);
  slider.max = (Math.ceil(Math.max(most, gigabytes) / step) * step).toFixed(decimals);
  slider.value = `${gigabytes}`;
}

function press(group: string, name: string, value: string): void {
  for (const button of byId(group).querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset[name] === value));
  }
}

/** Contexts to choose from: powers of two up to what the model was made for, and the chosen one. */
function contexts({ architecture }: Explorer, chosen: number): number[] {
  const usual = Array.from({ length: 14 }, (_, i) => 2 ** (10 + i)).filter(
    (tokens) => tokens < architecture.contextLength,
  );
  return [...new Set([...usual, architecture.contextLength, chosen])].sort((a, b) => a - b);
}

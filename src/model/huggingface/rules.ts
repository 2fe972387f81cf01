/** Naming rules at work: which rule a tensor's name follows, and the shapes it calls for. */
import type { Dimensions, TensorRule } from "./architecture.js";

/** A rule that a name follows, with the numbers in the name. */
export interface RuleMatch {
  readonly rule: TensorRule;
  readonly layer: number | undefined;
  readonly expert: number | undefined;
}

/** A function that finds the rule that a Hugging Face name follows. */
export function ruleFinder(rules: readonly TensorRule[]): (name: string) => RuleMatch | undefined {
  const number = "(?:0|[1-9][0-9]{0,6})";
  const patterns = rules.map((rule) => {
    const source = rule.from
      .replaceAll(".", "\\.")
      .replace("{layer}", `(?<layer>${number})`)
      .replace("{expert}", `(?<expert>${number})`);
    return { rule, pattern: new RegExp(`^${source}$`) };
  });
  return (name) => {
    for (const { rule, pattern } of patterns) {
      const found = pattern.exec(name);
      if (!found) continue;
      const { layer, expert } = found.groups ?? {};
      return { rule, layer: numberOf(layer), expert: numberOf(expert) };
    }
    return undefined;
  };
}

function numberOf(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits);
}

/** The Hugging Face name of a rule for a layer and an expert. */
export function sourceName(rule: TensorRule, layer: number, expert: number): string {
  return rule.from.replace("{layer}", String(layer)).replace("{expert}", String(expert));
}

/** The GGUF names of a rule for a layer. */
export function targetNames(rule: TensorRule, layer: number | undefined): readonly string[] {
  const names = typeof rule.to === "string" ? [rule.to] : rule.to;
  return names.map((name) => name.replace("{layer}", String(layer)));
}

/** Shape of a rule's targets in GGUF order. */
export function targetShape(rule: TensorRule, dimensions: Dimensions): readonly number[] {
  return rule.shape.map((dimension) => dimensions[dimension] ?? 0);
}

/** Shape that the Hugging Face tensor of a rule must have: outermost dimension first. */
export function sourceShape(rule: TensorRule, dimensions: Dimensions): readonly number[] {
  const [columns = 0, rows, ...outer] = targetShape(rule, dimensions);
  if (rows === undefined) return [columns];
  return [...(isPerExpert(rule) ? [] : outer), rows * targetNames(rule, 0).length, columns];
}

/** Whether the Hugging Face model has a tensor for each expert. */
export function isPerExpert(rule: TensorRule): boolean {
  return rule.from.includes("{expert}");
}

/** Which tensors a relayout keeps, and what they are called then. */
import { UsageError } from "../errors.js";
import { maxNameBytes } from "../gguf/layout.js";
import type { SourceTensor } from "../model/source.js";
import { patternProblem } from "../recipe/pattern.js";

/** Parts the tensors by patterns. Throws a UsageError for a pattern that finds none, or if none is left. */
export function droppedTensors(
  tensors: readonly SourceTensor[],
  patterns: readonly string[],
): { readonly kept: readonly SourceTensor[]; readonly dropped: readonly SourceTensor[] } {
  const expressions = patterns.map((pattern) => expression("drop", pattern));
  for (const [index, found] of expressions.entries()) {
    checkFound("drop", patterns[index] ?? "", tensors, found);
  }
  const isDropped = ({ name }: SourceTensor) => expressions.some((found) => found.test(name));
  const kept = tensors.filter((tensor) => !isDropped(tensor));
  if (kept.length === 0) {
    throw new UsageError("`drop`: no tensor would be left.");
  }
  return { kept, dropped: tensors.filter(isDropped) };
}

/**
 * The tensors with new names; the first rule that finds something names a tensor. Throws a UsageError for a rule that
 * finds nothing or is of another form, and for names that are too long or would stand twice.
 */
export function renamedTensors(tensors: readonly SourceTensor[], rules: readonly string[]): SourceTensor[] {
  const parsed = rules.map(parseRule);
  for (const { text, pattern } of parsed) {
    checkFound("rename", text, tensors, pattern);
  }
  const renamed = tensors.map((tensor) => {
    const rule = parsed.find(({ pattern }) => pattern.test(tensor.name));
    return rule ? { ...tensor, name: tensor.name.replace(rule.pattern, rule.replacement) } : tensor;
  });
  const before = new Map<string, string>();
  for (const [index, { name }] of renamed.entries()) {
    const old = tensors[index]?.name ?? name;
    const other = before.get(name);
    if (other !== undefined) {
      throw new UsageError(`\`rename\`: ${other} and ${old} would both be called ${name}.`, { tensor: name });
    }
    if (Buffer.byteLength(name) > maxNameBytes || name === "") {
      throw new UsageError(
        `\`rename\`: ${old} would be called "${name}"; llama.cpp reads names of 1 to ${maxNameBytes} bytes.`,
        { tensor: old },
      );
    }
    before.set(name, old);
  }
  return renamed;
}

function parseRule(text: string): { text: string; pattern: RegExp; replacement: string } {
  const at = text.lastIndexOf("=");
  if (at <= 0) {
    throw new UsageError(`\`rename\` ${text}: is not of the form PATTERN=NAME.`);
  }
  return { text, pattern: expression("rename", text.slice(0, at)), replacement: text.slice(at + 1) };
}

function expression(option: string, pattern: string): RegExp {
  const problem = patternProblem(pattern);
  if (problem !== undefined) {
    throw new UsageError(`\`${option}\`: ${problem}`);
  }
  return new RegExp(pattern);
}

function checkFound(option: string, text: string, tensors: readonly SourceTensor[], pattern: RegExp): void {
  if (!tensors.some(({ name }) => pattern.test(name))) {
    throw new UsageError(`\`${option}\` ${text}: no tensor has such a name; inspect lists them.`);
  }
}

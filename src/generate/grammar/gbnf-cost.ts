/**
 * What a grammar in GBNF costs llama.cpp (src/llama-grammar.cpp), bounded before it reads the grammar, since none of
 * its calls can be stopped. It writes repetitions out, and holds a stack for each way to the next character: it
 * compares every new one with all others, so a thousand parts that may all be left out take half a minute. Here ways
 * are counted without being gone: those that lead to the same stack count each, so the numbers are upper bounds.
 */

/** A part of a sequence: characters, or another rule, as often as the repetitions say. */
export interface GbnfItem {
  /** Elements of a rule that it takes in llama.cpp, without its repetitions. */
  readonly width: number;
  /** The rule that it stands for, by number; parentheses are a rule of their own. */
  readonly rule?: number | undefined;
  /** From the inside out. */
  readonly repetitions: readonly GbnfRepetition[];
  /** Where it stands in the text. */
  readonly at: number;
}

export interface GbnfRepetition {
  readonly least: number;
  /** No end if undefined. */
  readonly most: number | undefined;
}

/** Alternatives, each a sequence. */
export type GbnfRule = readonly (readonly GbnfItem[])[];

/** Elements of all rules together when repetitions are written out, of 8 bytes each, twice. */
const maxElements = 500_000;
/** Ways from one place to its next characters. */
const maxWays = 5000;
/** Ways from those characters to the ones after them, together. */
const maxFurtherWays = 50_000;
/** Ways from the beginnings of all rules together: llama.cpp goes them all to find rules that begin with themselves. */
const maxAllWays = 2_000_000;
/** Elements that are looked over in the time of one way; a rule takes the time of some by itself. */
const elementsPerWay = 256;
const elementsPerRule = 16;

/** Of something in a grammar. */
interface Cost {
  /** Ways to its first characters. */
  readonly ways: number;
  /** Whether it may be left out. */
  readonly isEmpty: boolean;
  /** From its first characters to those after them within it. */
  readonly further: number;
  /** Of its first characters, those after which it may end. */
  readonly lasts: number;
}

const nothing: Cost = { ways: 0, isEmpty: true, further: 0, lasts: 0 };
const oneCharacter: Cost = { ways: 1, isEmpty: false, further: 0, lasts: 1 };

type Fail = (what: string, at: number) => never;

/** Calls `fail` with what is wrong and where, unless llama.cpp reads and follows these rules in a bounded time. */
export function checkGbnfCost(rules: readonly GbnfRule[], fail: Fail): void {
  const elements = rules.map((rule) => sum(rule.flat(), (item) => item.width));
  checkElements(rules, fail);
  const empty = findEmptyRules(rules);
  const order = inOrder(rules, empty, fail);
  const costs: Cost[] = rules.map((_, rule) => ({ ...nothing, isEmpty: empty.has(rule) }));
  const costOf = (item: GbnfItem) => costOfItem(item, costs);
  // What follows a rule's first characters may be rules that come later in the order: their ways are counted before.
  for (const part of [(sequence: readonly GbnfItem[]) => beginOf(sequence, empty), all]) {
    for (const rule of order) {
      const each = (rules[rule] ?? []).map((sequence) => endsOf(part(sequence), costOf)[0] ?? nothing);
      costs[rule] = {
        ways:
          sum(each, ({ ways }) => Math.max(1, ways)) +
          ((elements[rule] ?? 0) + elementsPerRule) / elementsPerWay,
        isEmpty: empty.has(rule),
        further: sum(each, ({ further }) => further),
        lasts: sum(each, ({ lasts }) => lasts),
      };
    }
  }
  if (sum(costs, ({ ways }) => ways) > maxAllWays) {
    fail(`the beginnings of all rules can be read in more than ${maxAllWays} ways`, 0);
  }
  for (const [rule, sequences] of rules.entries()) {
    checkWays(costs[rule] ?? nothing, sequences[0]?.[0]?.at ?? 0, fail);
    for (const sequence of sequences) {
      for (const [index, cost] of endsOf(sequence, costOf).entries()) {
        checkWays(cost, sequence[index]?.at ?? 0, fail);
      }
    }
  }
}

function checkWays({ ways, further, lasts }: Cost, at: number, fail: Fail): void {
  if (ways > maxWays) {
    fail(`there are more than ${maxWays} ways to go on`, at);
  }
  if (further + lasts > maxFurtherWays) {
    fail(`there are more than ${maxFurtherWays} ways to go on by two characters`, at);
  }
}

/** Bounds the elements of all rules. */
function checkElements(rules: readonly GbnfRule[], fail: Fail): void {
  let elements = 0;
  for (const { width, repetitions, at } of rules.flat(2)) {
    let kept = width;
    for (const { least, most } of repetitions) {
      const rulesMade = most === undefined ? 1 : most - least;
      elements += rulesMade * (kept + 3);
      kept = least * kept + Math.min(1, rulesMade);
      if (elements + kept > maxElements) {
        break;
      }
    }
    elements += kept + 1;
    if (elements > maxElements) {
      fail(`the rules have more than ${maxElements} elements when repetitions are written out`, at);
    }
  }
}

/** Rules that match the empty text. */
function findEmptyRules(rules: readonly GbnfRule[]): Set<number> {
  const empty = new Set<number>();
  const found: number[] = [];
  const add = (rule: number) => {
    if (!empty.has(rule)) {
      empty.add(rule);
      found.push(rule);
    }
  };
  /** By rule, the sequences that wait for it to be found empty, and of how many. */
  const waiting = new Map<number, { readonly rule: number; count: number }[]>();
  for (const [rule, sequences] of rules.entries()) {
    for (const sequence of sequences) {
      const needed = sequence.filter((item) => !(item.width === 0 || item.repetitions.some(isOptional)));
      if (needed.length === 0) {
        add(rule);
      } else if (needed.every((item) => item.rule !== undefined)) {
        const entry = { rule, count: needed.length };
        for (const item of needed) {
          const line = waiting.get(item.rule ?? 0) ?? [];
          waiting.set(item.rule ?? 0, line);
          line.push(entry);
        }
      }
    }
  }
  for (let rule = found.pop(); rule !== undefined; rule = found.pop()) {
    for (const entry of waiting.get(rule) ?? []) {
      if (--entry.count === 0) {
        add(entry.rule);
      }
    }
  }
  return empty;
}

function isOptional({ least }: GbnfRepetition): boolean {
  return least === 0;
}

function canBeEmpty(item: GbnfItem, empty: ReadonlySet<number>): boolean {
  return (
    item.width === 0 || item.repetitions.some(isOptional) || (item.rule !== undefined && empty.has(item.rule))
  );
}

/** The items of a sequence that can be first. */
function beginOf(sequence: readonly GbnfItem[], empty: ReadonlySet<number>): readonly GbnfItem[] {
  const last = sequence.findIndex((item) => !canBeEmpty(item, empty));
  return last < 0 ? sequence : sequence.slice(0, last + 1);
}

function all(sequence: readonly GbnfItem[]): readonly GbnfItem[] {
  return sequence;
}

/** All rules, each after those that it can begin with. Fails if one begins with itself. */
function inOrder(rules: readonly GbnfRule[], empty: ReadonlySet<number>, fail: Fail): number[] {
  const firsts = rules.map((sequences) => {
    const items = sequences.flatMap((sequence) => beginOf(sequence, empty));
    return new Map(items.flatMap(({ rule, at }) => (rule === undefined ? [] : [[rule, at] as const])));
  });
  const order: number[] = [];
  const states = rules.map(() => "new" as "new" | "open" | "done");
  for (const start of rules.keys()) {
    // Not by recursion: a chain of rules may be thousands long.
    const path = [{ rule: start, rest: [...(firsts[start] ?? [])] }];
    if (states[start] === "done") {
      continue;
    }
    states[start] = "open";
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        states[top.rule] = "done";
        order.push(top.rule);
        path.pop();
        continue;
      }
      const [rule, at] = next;
      if (states[rule] === "open") {
        fail("a rule begins with itself (left recursion)", at);
      }
      if (states[rule] === "new") {
        states[rule] = "open";
        path.push({ rule, rest: [...(firsts[rule] ?? [])] });
      }
    }
  }
  return order;
}

/** What a sequence costs from each of its items on. */
function endsOf(sequence: readonly GbnfItem[], costOf: (item: GbnfItem) => Cost): Cost[] {
  let rest = nothing;
  return sequence
    .map((_, index) => {
      rest = inSequence(costOf(sequence[sequence.length - 1 - index] as GbnfItem), rest);
      return rest;
    })
    .reverse();
}

function inSequence(first: Cost, rest: Cost): Cost {
  const ifEmpty = first.isEmpty ? rest : nothing;
  return {
    ways: first.ways + ifEmpty.ways,
    isEmpty: first.isEmpty && rest.isEmpty,
    further: first.further + first.lasts * rest.ways + ifEmpty.further,
    lasts: (rest.isEmpty ? first.lasts : 0) + ifEmpty.lasts,
  };
}

function costOfItem({ width, rule, repetitions }: GbnfItem, costs: readonly Cost[]): Cost {
  const once = rule === undefined ? (width === 0 ? nothing : oneCharacter) : (costs[rule] ?? nothing);
  return repetitions.reduce(repeated, once);
}

function repeated(once: Cost, { least, most }: GbnfRepetition): Cost {
  const { further, lasts } = once;
  const count = most ?? least + 1;
  const ways = once.ways + 1;
  if (count === 0) {
    return nothing;
  }
  if (once.isEmpty) {
    // Each copy can be the first, and each after it the next.
    return {
      ways: count * ways,
      isEmpty: true,
      further: count * further + ((lasts * count * (count + 1)) / 2) * ways,
      lasts: count * lasts,
    };
  }
  const mayFollow = count > 1 || most === undefined;
  return {
    ways,
    isEmpty: least === 0,
    further: further + (mayFollow ? lasts * ways : 0),
    lasts: least <= 1 ? lasts : 0,
  };
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}

/** The syntax tree of a chat template. */
import type { Value } from "./values.js";

/** Arguments of a call, in the order in which they stand. */
export interface CallArguments {
  readonly positional: readonly (Expression | Spread)[];
  /** Named ones; without a name the entries of a dict (`**rest`). */
  readonly named: readonly { readonly name?: string; readonly value: Expression }[];
}

/** `*rest` */
export interface Spread {
  readonly type: "spread";
  readonly value: Expression;
}

export type Expression =
  | { readonly type: "constant"; readonly value: Value }
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "list" | "tuple"; readonly items: readonly Expression[] }
  | { readonly type: "dict"; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly type: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly type: "element"; readonly object: Expression; readonly key: Expression }
  | {
      readonly type: "slice";
      readonly object: Expression;
      readonly start?: Expression | undefined;
      readonly stop?: Expression | undefined;
      readonly step?: Expression | undefined;
    }
  | { readonly type: "call"; readonly callee: Expression; readonly arguments: CallArguments }
  | { readonly type: "filter"; readonly operand: Expression; readonly filter: Named }
  | { readonly type: "test"; readonly operand: Expression; readonly test: Named }
  | { readonly type: "not" | "+" | "-"; readonly operand: Expression }
  | { readonly type: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: "binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly type: "comparison"; readonly first: Expression; readonly rest: readonly Comparison[] }
  | {
      readonly type: "conditional";
      readonly condition: Expression;
      readonly value: Expression;
      readonly otherwise?: Expression | undefined;
    };

/** A filter or test with its arguments. */
export interface Named {
  readonly name: string;
  readonly arguments: CallArguments;
}

/** The rest of a comparison, which may be a chain: `1 < x <= 3`. */
export interface Comparison {
  readonly operator: string;
  readonly operand: Expression;
}

/** What can be assigned to: a name, names, or an attribute of a namespace. */
export type Target =
  | { readonly type: "name"; readonly name: string }
  | { readonly type: "names"; readonly targets: readonly Target[] }
  | { readonly type: "attribute"; readonly namespace: string; readonly name: string };

export interface Parameter {
  readonly name: string;
  readonly otherwise?: Expression | undefined;
}

export type Body = readonly Statement[];

export interface Loop {
  readonly type: "for";
  readonly target: Target;
  readonly iterable: Expression;
  readonly condition?: Expression | undefined;
  readonly isRecursive: boolean;
  readonly body: Body;
  readonly otherwise: Body;
}

export type Statement =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "print"; readonly value: Expression }
  | { readonly type: "if"; readonly condition: Expression; readonly body: Body; readonly otherwise: Body }
  | Loop
  | { readonly type: "break" | "continue" }
  | { readonly type: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly type: "set block";
      readonly target: Target;
      readonly filters: readonly Named[];
      readonly body: Body;
    }
  | {
      readonly type: "macro";
      readonly name: string;
      readonly parameters: readonly Parameter[];
      readonly body: Body;
    }
  | {
      readonly type: "call block";
      readonly callee: Expression;
      readonly arguments: CallArguments;
      readonly parameters: readonly Parameter[];
      readonly body: Body;
    }
  | { readonly type: "filter block"; readonly filters: readonly Named[]; readonly body: Body }
  | {
      readonly type: "with";
      readonly bindings: readonly (readonly [Target, Expression])[];
      readonly body: Body;
    };

/** What is in a model: groups of tensors with the same role and type, as model cards list them. */
import { bitsPerWeight, rowBytes, type TypeName } from "../quants/types.js";
import { type Role, roleOf } from "./roles.js";
import { rowCount, type SourceTensor, weightCount } from "./source.js";

/** A tensor in a list: as it is in a file, or as it will be. */
export interface ListedTensor {
  readonly name: string;
  readonly role: Role;
  readonly shape: readonly number[];
  readonly type: TypeName;
  /** Name of the packed form that it is stored in; its type then is that of the decoded rows. */
  readonly packed?: string;
  readonly bytes: number;
}

/** Tensors of the same role and type. The parts of attention count as one role, experts' parts each as one. */
export interface TensorGroup {
  readonly role: string;
  readonly type: TypeName;
  /** Name of the packed form, as of a tensor. */
  readonly packed?: string;
  readonly count: number;
  readonly parameters: number;
  readonly bytes: number;
}

export interface ModelSummary {
  readonly parameters: number;
  /** Size of all tensors, without header and padding. */
  readonly tensorBytes: number;
  /** Bits per weight: 8 * tensorBytes / parameters. */
  readonly bpw: number;
  readonly groups: readonly TensorGroup[];
}

/** The tensors of a model with roles and sizes. */
export function tensorsWithRoles({
  tensors,
}: {
  readonly tensors: readonly Pick<SourceTensor, "name" | "shape" | "type" | "packed">[];
}): ListedTensor[] {
  return tensors.map(({ name, shape, type, packed }) => ({
    name,
    role: roleOf(name),
    shape,
    type,
    ...(packed && { packed: packed.format }),
    bytes: packed?.bytes ?? rowCount(shape) * rowBytes(type, shape[0] ?? 1),
  }));
}

/** Adds tensors up, in the order in which a card lists them: experts, attention, embedding and output, the rest. */
export function summarize(tensors: readonly ListedTensor[]): ModelSummary {
  const groups = new Map<string, TensorGroup>();
  for (const { role, shape, type, packed, bytes } of tensors) {
    const group = groupRole(role);
    const key = `${group} ${packed ?? type}`;
    const { count = 0, parameters = 0, bytes: before = 0 } = groups.get(key) ?? {};
    groups.set(key, {
      role: group,
      type,
      ...(packed !== undefined && { packed }),
      count: count + 1,
      parameters: parameters + weightCount(shape),
      bytes: before + bytes,
    });
  }
  const parameters = tensors.reduce((sum, { shape }) => sum + weightCount(shape), 0);
  const tensorBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    parameters,
    tensorBytes,
    bpw: (8 * tensorBytes) / parameters,
    groups: [...groups.values()].sort(
      (a, b) =>
        rank(a.role) - rank(b.role) ||
        a.role.localeCompare(b.role, "en") ||
        bitsPerWeight(b.type) - bitsPerWeight(a.type),
    ),
  };
}

const order = [
  "routed",
  "shared",
  "dense",
  "attention",
  "ssm",
  "hyper_connection",
  "per_layer",
  "embedding",
  "output",
  "nextn",
  "router",
  "norm",
  "bias",
  "scale",
  "position",
  "sinks",
];

function rank(role: string): number {
  const place = order.indexOf(role.split(".")[0] ?? role);
  return place < 0 ? order.length : place;
}

function groupRole(role: Role): string {
  return /^(attention|ssm)\./.exec(role)?.[1] ?? role;
}

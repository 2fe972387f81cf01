/** Of which layers the scales can be fitted: those whose routed experts' rows have scales of their own in F16. */
import type { Metadata } from "../gguf/metadata.js";
import { Architecture } from "../model/architecture.js";
import { addsExpertsPlainly } from "../model/expert-facts.js";
import type { SourceTensor } from "../model/source.js";
import { runLayers, windowStarts } from "../model/window-facts.js";
import { halfScalesOf } from "../quants/half-scales.js";
import { type TypeName, traitsOf } from "../quants/types.js";

/** Rows of each expert in a tensor. */
export interface ExpertRowsIn {
  readonly tensor: string;
  readonly type: TypeName;
  /** Length of a row. */
  readonly columns: number;
  /** Rows that an expert has in the tensor. */
  readonly rows: number;
  /** The first of them that is meant, and how many. */
  readonly first: number;
  readonly count: number;
}

/** A layer whose scales are fitted. */
export interface FittedLayer {
  readonly layer: number;
  readonly gate: ExpertRowsIn;
  readonly up: ExpertRowsIn;
  readonly down: ExpertRowsIn;
  readonly experts: number;
  /** Experts that a token is sent to. */
  readonly slots: number;
}

/** A model as far as its header tells, or a plan for one. */
export interface TypedModel {
  readonly metadata: Metadata;
  readonly tensors: readonly TypedTensor[];
}

type TypedTensor = Pick<SourceTensor, "name" | "shape" | "type">;

/** Matrix products take columns in tiles. */
const columnsMultiple = 8;

/** The layers of a quantized model, or why there are none: the end of a sentence. */
export function fittedLayersOf({ metadata, tensors }: TypedModel): readonly FittedLayer[] | string {
  const architecture = new Architecture(metadata);
  if (architecture.experts === 0) {
    return "has no routed experts";
  }
  if (!addsExpertsPlainly(architecture.name)) {
    return `is of the architecture ${architecture.name}, of which it is not known that its layers add their experts' outputs to the residual stream as they are`;
  }
  if (!runsLayerByLayer(metadata)) {
    return "cannot be run one layer at a time";
  }
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const layers = Array.from({ length: runLayers(architecture) }, (_, layer) =>
    layerOf(layer, byName, architecture),
  );
  const fitted = layers.filter((layer) => layer !== undefined);
  return fitted.length > 0 ? fitted : "has no gate and up of routed experts in a type with scales in F16";
}

function runsLayerByLayer(metadata: Metadata): boolean {
  return windowStarts(metadata)?.length === runLayers(new Architecture(metadata));
}

function layerOf(
  layer: number,
  tensors: ReadonlyMap<string, TypedTensor>,
  architecture: Architecture,
): FittedLayer | undefined {
  const named = (name: string) => tensors.get(`blk.${layer}.ffn_${name}_exps.weight`);
  const both = named("gate_up");
  const down = rowsOf(named("down"), 0, 1);
  const gate = both ? rowsOf(both, 0, 2) : rowsOf(named("gate"), 0, 1);
  const up = both ? rowsOf(both, 1, 2) : rowsOf(named("up"), 0, 1);
  const [, , experts = 1] = named("down")?.shape ?? [];
  const slots = architecture.layerNumber("expert_used_count", layer) ?? architecture.expertsUsed;
  if (gate === undefined || up === undefined || down === undefined) {
    return undefined;
  }
  const hasScales = [gate, up].every(({ type }) => halfScalesOf(type) !== undefined);
  const fits =
    gate.count === up.count &&
    gate.count === down.columns &&
    gate.columns === down.count &&
    [gate, down].every(({ columns }) => columns % columnsMultiple === 0) &&
    traitsOf(down.type).canDecode;
  return hasScales && fits ? { layer, gate, up, down, experts, slots } : undefined;
}

/** The part-th of `parts` equal parts of each expert's rows. */
function rowsOf(tensor: TypedTensor | undefined, part: number, parts: number): ExpertRowsIn | undefined {
  if (tensor === undefined) {
    return undefined;
  }
  const [columns = 1, rows = 1] = tensor.shape;
  const count = rows / parts;
  return { tensor: tensor.name, type: tensor.type, columns, rows, first: part * count, count };
}

/** Gate and up of the routed experts of a layer as one tensor, or as two: the same rows in another order. */
import { UsageError } from "../errors.js";
import { Architecture } from "../model/architecture.js";
import { fusesGateAndUp } from "../model/fused-experts.js";
import type { Rows } from "../model/huggingface/rows.js";
import { gateAndUp, gateOrUp } from "../model/huggingface/transformations/named.js";
import { type ModelSource, rowCount, type SourceTensor } from "../model/source.js";

/** What is asked for: neither leaves the tensors as they are. */
export interface GateAndUpForm {
  readonly fuseGateUp?: boolean | undefined;
  readonly unfuse?: boolean | undefined;
}

/**
 * The model's tensors with gate and up of all layers in the form asked for. Throws a UsageError if llama.cpp reads the
 * architecture in one form only, if there is nothing to change, and for tensors that do not fit together: of two types,
 * or with a scale or bias beside them.
 */
export function inGateAndUpForm(
  source: ModelSource,
  { fuseGateUp, unfuse }: GateAndUpForm,
): readonly SourceTensor[] {
  if (!fuseGateUp && !unfuse) {
    return source.tensors;
  }
  if (fuseGateUp && unfuse) {
    throw new UsageError("`fuseGateUp` and `unfuse` exclude each other; use one.");
  }
  const option = fuseGateUp ? "fuseGateUp" : "unfuse";
  const architecture = new Architecture(source.metadata).name;
  if (!fusesGateAndUp(architecture)) {
    throw new UsageError(
      `${source.name}: \`${option}\`: llama.cpp reads gate and up of ${architecture} in one form only; leave the option out.`,
      { architecture },
    );
  }
  checkAlone(source);
  const changed = fuseGateUp ? fusedTensors(source) : separateTensors(source);
  if (changed.length === source.tensors.length) {
    throw new UsageError(
      `${source.name}: \`${option}\`: no layer has gate and up of routed experts as ${fuseGateUp ? "two tensors" : "one tensor"}; leave the option out.`,
    );
  }
  return changed;
}

/** Beside the matrices nothing may stand that would have to follow them. */
function checkAlone({ name, tensors }: ModelSource): void {
  const other = tensors.find((tensor) => /\.ffn_(?:gate|up|gate_up)_exps\.(?!weight$)/.test(tensor.name));
  if (other) {
    throw new UsageError(
      `${name}: ${other.name} belongs to gate or up of routed experts, and cannot follow them into another form.`,
      { tensor: other.name },
    );
  }
}

/** One tensor in the place of each gate. */
function fusedTensors({ name: file, tensors }: ModelSource): readonly SourceTensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return tensors.flatMap((tensor) => {
    const [, layer, matrix] = /^(.*\.)ffn_(gate|up)_exps\.weight$/.exec(tensor.name) ?? [];
    const gate = byName.get(`${layer}ffn_gate_exps.weight`);
    const up = byName.get(`${layer}ffn_up_exps.weight`);
    if (!gate || !up) {
      return [tensor];
    }
    if (matrix === "up") {
      return [];
    }
    const [columns = 0, rows = 0, experts = 1] = gate.shape;
    if (gate.type !== up.type || gate.shape.join() !== up.shape.join()) {
      throw new UsageError(
        `${file}: ${gate.name} is ${gate.type} [${gate.shape.join(", ")}] and ${up.name} ${up.type} [${up.shape.join(", ")}]; one tensor has one type, so give both the same with quantize.`,
        { tensor: gate.name },
      );
    }
    const fused = gateAndUp(rowsOf(gate), rowsOf(up), experts);
    return [tensorOf(fused, gate.name.replace("_gate_", "_gate_up_"), [columns, 2 * rows, experts])];
  });
}

/** Gate and up in the place of what is both. */
function separateTensors({ tensors }: ModelSource): readonly SourceTensor[] {
  return tensors.flatMap((tensor) => {
    if (!tensor.name.endsWith(".ffn_gate_up_exps.weight")) {
      return [tensor];
    }
    const [columns = 0, rows = 0, experts = 1] = tensor.shape;
    return (["gate", "up"] as const).map((matrix, index) =>
      tensorOf(
        gateOrUp(rowsOf(tensor), index === 0 ? 0 : 1, experts),
        tensor.name.replace("_gate_up_", `_${matrix}_`),
        [columns, rows / 2, experts],
      ),
    );
  });
}

function rowsOf({ shape, type, readRows }: SourceTensor): Rows {
  return { columns: shape[0] ?? 1, rows: rowCount(shape), type, read: readRows };
}

function tensorOf({ type, read }: Rows, name: string, shape: readonly number[]): SourceTensor {
  return { name, shape, type, readRows: read };
}

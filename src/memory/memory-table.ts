/** What a model takes in memory by context and type of the cache, and which machines have it. */
import type { CacheType } from "../engine/cache-types.js";
import type { Engine } from "../engine/engine.js";
import { UsageError } from "../errors.js";
import { openModel } from "../model/open.js";
import { loadedTensors } from "../model/prediction-facts.js";
import { tensorsWithRoles } from "../model/summary.js";
import type { MemoryNeed } from "./formula.js";
import { type CacheOptions, contextStep, paddedContext } from "./kv-cache.js";
import { commonMachines, type Machine, parseMachine } from "./machines.js";
import type { MemoryTable } from "./memory-table-schema.js";
import { weightsOn } from "./placement.js";
import { PlannedModel } from "./planned-memory.js";

export interface MemoryTableOptions {
  /** Path of the model. */
  readonly model: string;
  /** To ask llama.cpp for the sizes of caches and buffers; our formulas are used without. */
  readonly engine?: Engine | undefined;
}

const cacheTypes: readonly CacheType[] = ["F16", "Q8_0", "Q4_0"];

/** Contexts in the table: the longest that the model was trained for, and halves of it. */
const mostContexts = 7;

/** Reads the header only. Errors: see `fit`. */
export async function measureMemoryTable({ model, engine }: MemoryTableOptions): Promise<MemoryTable> {
  const source = await openModel(model);
  const planned = new PlannedModel(source, engine);
  try {
    const tensors = loadedTensors(tensorsWithRoles(source), planned.architecture.name);
    const machines = commonMachines.map((name) => {
      const machine = parseMachine(name, 0);
      return { machine, weightsBytes: weightsOn(machine, tensors).neededBytes };
    });
    const { bytes: weightsBytes } = weightsOn(parseMachine("64GB RAM", 0), tensors);
    const rows: MemoryTable["rows"][number][] = [];
    let asked: MemoryTable["source"] = "llama.cpp";
    for (const type of cacheTypes) {
      for (const context of contextsUpTo(planned.architecture.contextLength)) {
        const need = await needOf(planned, { contextLength: context, keyType: type, valueType: type });
        if (need === undefined) {
          break;
        }
        if (need.source === "formula") {
          asked = "formula";
        }
        const besides = need.kvBytes + need.computeBytes;
        rows.push({
          context,
          keyType: type,
          valueType: type,
          weightsBytes,
          kvBytes: need.kvBytes,
          computeBytes: need.computeBytes,
          totalBytes: weightsBytes + besides,
          fits: machines
            .filter((candidate) => candidate.weightsBytes + besides <= available(candidate.machine))
            .map(({ machine }) => machine.name),
        });
      }
    }
    return { rows, machines: machines.map(({ machine }) => describe(machine)), source: asked };
  } finally {
    await planned.close();
    await source.close();
  }
}

/** Undefined if the cache cannot have such a type: rows that do not fill its blocks. */
async function needOf(planned: PlannedModel, options: CacheOptions): Promise<MemoryNeed | undefined> {
  try {
    return await planned.need(options);
  } catch (error) {
    if (error instanceof UsageError) {
      return undefined;
    }
    throw error;
  }
}

function available({ bytes, marginBytes }: Machine): number {
  return Math.max(0, bytes - marginBytes);
}

function describe(machine: Machine): MemoryTable["machines"][number] {
  return { name: machine.name, availableBytes: available(machine), basis: machine.basis };
}

/** 262144, 131072, ..., 4096 in rising order; those of a small model are shorter. */
function contextsUpTo(longest: number): number[] {
  const contexts = Array.from({ length: mostContexts }, (_, i) => Math.floor(longest / 2 ** i));
  return contexts
    .filter((context, i) => i === 0 || context >= contextStep)
    .map(paddedContext)
    .reverse();
}

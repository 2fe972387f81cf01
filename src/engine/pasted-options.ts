/** Options of llama.cpp's tools about how a model is run, for commands that do what one of these does. */
import { answered, moot, mootUnset } from "../contract/pasted.js";

const placed = "where the tensors lie follows from `gpuLayers` and `gpuMemory`; use one of these.";
const devices = "all GPUs are used that the driver shows; hide some with CUDA_VISIBLE_DEVICES or its like.";

export const pastedRunOptions = {
  batchSize: moot("batches are chosen by what is computed", { value: "<n>", aliases: ["-b"] }),
  ubatchSize: moot("batches are chosen by what is computed", { value: "<n>", aliases: ["-ub"] }),
  parallel: moot("as many chunks at a time as pay", { value: "<n>", aliases: ["-np"] }),
  threadsBatch: moot("threads are the same for batches", { value: "<n>", aliases: ["-tb"] }),
  flashAttn: moot("llama.cpp decides", { value: "[when]", aliases: ["-fa"] }),
  kvUnified: moot("the cache is as the model wants it", { aliases: ["-kvu"] }),
  warmup: mootUnset("nothing is run before the text"),
  mmap: mootUnset("weights are mapped where that is of use"),
  mlock: moot("weights are not locked"),
  verbose: moot("what the user should know is said", { aliases: ["-v"] }),
  logDisable: moot("llama.cpp's log is not shown"),
  cacheTypeK: answered("keys are cached as F16, as these figures are defined; leave it out.", {
    value: "<type>",
    aliases: ["-ctk"],
  }),
  cacheTypeV: answered("values are cached as F16, as these figures are defined; leave it out.", {
    value: "<type>",
    aliases: ["-ctv"],
  }),
  overrideTensor: answered(placed, { value: "<pattern>", aliases: ["-ot"] }),
  cpuMoe: answered(placed, { aliases: ["-cmoe"] }),
  nCpuMoe: answered(placed, { value: "<n>", aliases: ["-ncmoe"] }),
  splitMode: answered(devices, { value: "<mode>", aliases: ["-sm"] }),
  tensorSplit: answered(devices, { value: "<parts>", aliases: ["-ts"] }),
  mainGpu: answered(devices, { value: "<n>", aliases: ["-mg"] }),
  device: answered(devices, { value: "<names>", aliases: ["-dev"] }),
  hfRepo: answered("name the model by its address, hf://owner/repository/FILE.gguf.", {
    value: "<repository>",
    aliases: ["-hf", "-hfr"],
  }),
  prompt: answered("name a file with the text.", { value: "<text>", aliases: ["-p"] }),
  overrideKv: answered("the model is run as it is; change its metadata with lopsided relayout first.", {
    value: "<key=type:value>",
  }),
  lora: answered("adapters are not supported; use a model that it is merged into.", { value: "<file>" }),
};

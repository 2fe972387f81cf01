/** Thread in which one program is run. See python.ts. */
import { workerData } from "node:worker_threads";
import type { IsolatedWorkerSetup } from "../isolation/messages.js";
import { serveRequests } from "../isolation/serve.js";
import { type PythonReply, type PythonRequest, runPython } from "./interpreter.js";
import type { SandboxData } from "./prepare.js";

const { prepared: module } = workerData as IsolatedWorkerSetup<SandboxData, WebAssembly.Module>;

serveRequests<PythonRequest, PythonReply>((request) => runPython(module, request));

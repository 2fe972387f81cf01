/** The part of the Hugging Face Hub's interface that is used here, on a FileServer. */
import type { Fault, FileServer, ServedRequest } from "./file-server.js";
import { sha256 } from "./file-server.js";

export interface HubModel {
  readonly repository: string;
  readonly commit: string;
  readonly revisions: readonly string[];
  /** By path in the repository. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Claims another SHA-256 of large files than they have. */
  readonly claims?: string;
  /** Each page of a listing names another one after it. */
  readonly endless?: boolean;
  /** Whoever does not send this token is refused. */
  readonly token?: string;
}

/** Files from this size on are "large" and have a SHA-256 in listings, as those in Git LFS. */
const largeBytes = 10_000;

/** Serves a model under the addresses of the hub: revisions, listings and files of the one commit. */
export function serveHub(server: FileServer, model: HubModel): void {
  const { repository, commit, files } = model;
  for (const [path, bytes] of Object.entries(files)) {
    server.files.set(`/${repository}/resolve/${commit}/${path}`, bytes);
  }
  server.fault = (request) => answer(server, model, request);
}

function answer(server: FileServer, model: HubModel, request: ServedRequest): Fault | undefined {
  const { repository, commit, revisions, token } = model;
  if (token !== undefined && request.authorization !== `Bearer ${token}`) {
    return json({ error: "Access to model is restricted" }, 401);
  }
  const api = `/api/models/${repository}`;
  if (!request.path.startsWith("/api/")) {
    return undefined;
  }
  if (request.path.startsWith(`${api}/revision/`)) {
    const revision = request.path.slice(`${api}/revision/`.length);
    if (![commit, ...revisions].includes(revision)) {
      return json({ error: "Invalid rev id" }, 404);
    }
    return json({ _id: "1", id: repository, sha: commit, lastModified: "2026-01-01T00:00:00.000Z" });
  }
  const tree = `${api}/tree/${commit}`;
  if (!request.path.startsWith(tree)) {
    return json({ error: "Repository not found" }, 404);
  }
  const rest = request.path.slice(tree.length);
  return listing(server, model, rest.replace(/^\//, ""), request);
}

/** Two entries a page, so that there are several. */
function listing(server: FileServer, model: HubModel, folder: string, request: ServedRequest): Fault {
  const prefix = folder === "" ? "" : `${folder}/`;
  const inside = Object.entries(model.files).filter(([path]) => path.startsWith(prefix));
  const folders = new Set(
    inside
      .map(([path]) => path.slice(prefix.length).split("/"))
      .flatMap(([first, more]) => (more ? [first] : [])),
  );
  const entries = [
    ...inside
      .filter(([path]) => !path.slice(prefix.length).includes("/"))
      .map(([path, bytes]) => ({
        type: "file",
        path,
        size: bytes.byteLength,
        oid: sha256(bytes).slice(0, 40),
        ...(bytes.byteLength >= largeBytes && {
          lfs: { oid: model.claims ?? sha256(bytes), size: bytes.byteLength, pointerSize: 130 },
        }),
      })),
    ...[...folders].map((name) => ({ type: "directory", path: `${prefix}${name}`, size: 0, oid: "0" })),
  ];
  const start = Number(new URLSearchParams(request.query).get("cursor") ?? 0);
  const next = `<${server.address}${request.path}?cursor=${start + 2}>; rel="next"`;
  const isLast = !model.endless && start + 2 >= entries.length;
  return json(entries.slice(start, start + 2), 200, isLast ? {} : { link: next });
}

function json(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): Fault {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}

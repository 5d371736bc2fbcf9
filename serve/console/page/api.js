// SPDX-License-Identifier: Apache-2.0
// The server's REST API, as any other client uses it.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let token = sessionStorage.getItem('token') ?? '';
export function setToken(value) {
  token = value;
  sessionStorage.setItem('token', value);
}

// {answer, text, milliseconds}; throws ApiError with what the server says.
async function call(path, body) {
  const options = {headers: {}, signal: AbortSignal.timeout(30000)};
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) {
    options.method = 'POST';
    options.headers['Content-Type'] = 'application/json';
    options.body = body;
  }
  const start = performance.now();
  let response, text;
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch (error) {
    throw new ApiError(0, `The server does not answer (${error.message}). Is it still running?`);
  }
  const milliseconds = performance.now() - start;
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* told below */ }
  if (!response.ok || answer === null) {
    const error = answer?.error?.message ?? answer?.error ?? text;
    throw new ApiError(response.status, `${response.status}: ${error || response.statusText}`);
  }
  return {answer, text, milliseconds};
}

export function modelPath(model, version) {
  const path = `/v1/models/${encodeURIComponent(model)}`;
  return version ? `${path}/versions/${encodeURIComponent(version)}` : path;
}

// [{name, versions: [{version, label, state, default}]}]
export async function listModels() { return (await call('/v1/models')).answer.models ?? []; }

// Numbers in an instance, by the model's metadata.
export async function inputSize(model, version) {
  const {answer} = await call(`${modelPath(model, version)}/metadata`);
  const input = Object.values(answer.metadata.signature_def.signature_def.serving_default.inputs)[0];
  return input.tensor_shape.dim.slice(1).reduce((size, dim) => size * Number(dim.size), 1);
}

export function predict(model, version, body) { return call(`${modelPath(model, version)}:predict`, body); }

// The same request for a shell.
export function curlCommand(model, version, body) {
  const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;
  const header = token ? ' -H "Authorization: Bearer $TOKEN"' : '';
  return `curl -s -X POST${header} -H 'Content-Type: application/json' \\\n  ` +
      `${quoted(location.origin + modelPath(model, version) + ':predict')} \\\n  -d ${quoted(body)}`;
}

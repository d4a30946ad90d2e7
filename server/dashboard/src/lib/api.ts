// The relay's read API. Every answer is parsed JSON or an ApiError with a stable code.

export class ApiError extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
  ) {
    super(code);
  }
}

/** No answer within this is taken for no network. */
const DEADLINE_MS = 20_000;

async function call(path: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { credentials: 'same-origin', cache: 'no-store', ...init, signal: AbortSignal.timeout(DEADLINE_MS) });
  } catch {
    throw new ApiError('network', 0);
  }
  if (response.ok) return response;
  throw new ApiError(await problemCode(response), response.status);
}

async function problemCode(response: Response): Promise<string> {
  try {
    const problem: unknown = await response.json();
    if (problem && typeof problem === 'object' && 'code' in problem) return String(problem.code);
  } catch {
    // Not a problem document; the status has to do.
  }
  return response.status === 401 ? 'login_required' : `http_${response.status}`;
}

export async function read<T>(path: string, params?: URLSearchParams): Promise<T> {
  const query = params?.toString();
  const response = await call(`api/${path}${query ? `?${query}` : ''}`, { headers: { accept: 'application/json' } });
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError('network', 0);
  }
}

export async function login(name: string, password: string): Promise<void> {
  await call('api/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, password }),
  });
}

export async function logout(): Promise<void> {
  await call('api/logout', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
}

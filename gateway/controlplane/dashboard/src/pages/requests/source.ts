import { api, take } from '../../api/client';
import type { Source } from './request_list';

const PAGE = 200;

/** The gateway's requests. */
export const gatewayRequests: Source = {
  page: (query, after, signal) =>
    take(api.GET('/api/v1/requests', { params: { query: { ...query, after, limit: PAGE } }, signal })),
  count: (query, signal) => take(api.GET('/api/v1/requests/count', { params: { query }, signal })),
};

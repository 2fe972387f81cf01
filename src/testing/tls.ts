/** A key and a certificate for 127.0.0.1 that nobody trusts: for servers of tests only. */

export const testKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWTj7WnY9AzMUPblb
tTPJvnG/+rwWCkKiI0FsPljnED6hRANCAAQAeGfyfmkvQMC1Ha+kI/oskgX4nP5n
0OTOd9xwQBpsEvaGAHuWZq75ghkla9OApOSVemzin1FNUTc9ehLzfkME
-----END PRIVATE KEY-----`;

export const testCertificate = `-----BEGIN CERTIFICATE-----
MIIBjzCCATagAwIBAgIUZuYDhzcux1SnbiBDbzA4SJl+WckwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTE4MjkxMloYDzIxMjYxMTAx
MTgyOTEyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQAeGfyfmkvQMC1Ha+kI/oskgX4nP5n0OTOd9xwQBpsEvaGAHuWZq75
ghkla9OApOSVemzin1FNUTc9ehLzfkMEo2QwYjAdBgNVHQ4EFgQU7rOKSf+072Ev
avrN2+nnG0ZKo60wHwYDVR0jBBgwFoAU7rOKSf+072EvavrN2+nnG0ZKo60wDwYD
VR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMCA0cAMEQC
IHKx5lsME9au5H46m713hPlpnGlsClnvyOeoEcRMiy/2AiAxTuf6JjXjYfxxSqb/
aJhxIjc60LhNsrnCljEGVCNcbg==
-----END CERTIFICATE-----`;

/** Has this process accept the certificate, and any other, until the test ends. */
export function trustTestCertificate(t: { after(cleanUp: () => void): void }): void {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  t.after(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });
}

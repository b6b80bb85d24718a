"""Couchbase's own Python client connects: over TLS, with each kind of credentials, and from outside.

    connect.py INSIDE OUTSIDE

Both are files with what `settee serve` printed. INSIDE: run with --tls, --client-cert enable and
--jwt-user Administrator=a.b.c, and a posture that has tokens. OUTSIDE: run with --tls and --external. User
Administrator, password "password", bucket default. Prints a line for each check, then the count; the exit code is 1
if a check failed.
"""

import os
import sys
import time
from datetime import timedelta

from couchbase import exceptions as ex
from couchbase.auth import CertificateAuthenticator, JwtAuthenticator, PasswordAuthenticator
from couchbase.cluster import Cluster
from couchbase.options import ClusterOptions, ClusterTimeoutOptions

from check import BUCKET, PASSWORD, USER, Report

# More keys than nodes, so that each node gets some.
KEYS = 40


def connect(connection_string, authenticator, seconds=20):
    time_out = timedelta(seconds=seconds)
    timeouts = ClusterTimeoutOptions(connect_timeout=time_out, bootstrap_timeout=time_out)
    return Cluster.connect(connection_string, ClusterOptions(authenticator, timeout_options=timeouts))


def password(ca_file=None):
    return PasswordAuthenticator(USER, PASSWORD, **({} if ca_file is None else {"cert_path": ca_file}))


def works(report, what, run, connection_string, authenticator):
    """Connects, writes to every node and reads it back."""
    cluster = connect(connection_string, authenticator)
    collection = cluster.bucket(BUCKET).default_collection()
    values = {f"{run}-{number}": number for number in range(KEYS)}
    for key, value in values.items():
        collection.upsert(key, value)
    report.same(what, {key: collection.get(key).value for key in values}, values)
    cluster.close()


def main():
    report, run = Report(), f"python-{time.time_ns():x}"
    with open(sys.argv[1]) as inside, open(sys.argv[2]) as outside:
        _, secure, ca_file, certificate, key = inside.read().split("\n")[:5]
        mapped, mapped_secure, mapped_ca_file = outside.read().split("\n")[:3]
    mutual = CertificateAuthenticator(cert_path=certificate, key_path=key, trust_store_path=ca_file)
    for what, connection_string, authenticator in [
            ("TLS with the authority's file", secure, password(ca_file)),
            ("TLS with the file in the string", f"{secure}?trust_certificate={ca_file}", password(ca_file)),
            ("a client certificate", secure, mutual),
            ("from outside", mapped, password()),
            ("from outside, the network named", f"{mapped}?network=external", password()),
            ("from outside over TLS", mapped_secure, password(mapped_ca_file))]:
        report.group(works, what, run, connection_string, authenticator)
    report.fails("TLS with another authority's file", ex.UnAmbiguousTimeoutException,
                 lambda: connect(secure, password(mapped_ca_file), 2))
    report.fails("from outside with the addresses of inside", ex.UnAmbiguousTimeoutException,
                 lambda: connect(f"{mapped}?network=default", password(), 2).bucket(BUCKET))
    # This authenticator takes no file.
    os.environ["SSL_CERT_FILE"] = ca_file
    report.group(works, "a token", run, secure, JwtAuthenticator("a.b.c"))
    report.fails("an unknown token", ex.AuthenticationException, lambda: connect(secure, JwtAuthenticator("x.y.z")))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())

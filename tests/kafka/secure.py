"""Listeners with TLS and SASL for tests: a certificate authority of one's own, one server, one client, one user.

The client's side lies in `client/` of the cluster's folder, in the forms that librdkafka and Java take: PEM files, and
one properties file per way to log in.
"""

import subprocess

from jars import Problem, program

USER, PASSWORD = "headwater", "headwater-secret"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# SCRAM's users are part of a cluster's metadata, so they are made when the storage is formatted.
USERS_AT_FORMAT = [word for name in MECHANISMS[1:]
                   for word in ("--add-scram", f"{name}=[name={USER},password={PASSWORD}]")]


def ports(free, count):
    """The ports of the two listeners, for each broker."""
    return {name: [free.free() for _ in range(count)] for name in ("SASL_SSL", "SSL")}


def prepare(folder):
    """Makes keys and certificates; gives the lines of server.properties that use them."""
    keys, client = folder / "keys", folder / "client"
    keys.mkdir()
    client.mkdir()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=Headwater test CA",
            "-keyout", keys / "ca.key", "-out", client / "ca.pem")
    certificate(folder, keys / "server", "localhost")
    certificate(folder, client / "client", "headwater-client")
    # Kafka wants key and certificate in one file.
    (keys / "server.both.pem").write_text((keys / "server.key").read_text() + (keys / "server.pem").read_text())
    for mechanism in (*MECHANISMS, None):
        write_properties(client, mechanism)
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": keys / "server.both.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": client / "ca.pem",
        # A client may show its certificate; one that shows a wrong one is refused.
        "listener.name.ssl.ssl.client.auth": "requested",
        "sasl.enabled.mechanisms": ",".join(MECHANISMS),
        # Headwater's broker takes the users of SCRAM from here, too; Apache's does not look at them.
        **{f"listener.name.sasl_ssl.{mechanism.lower()}.sasl.jaas.config": login(mechanism) + f' user_{USER}="{PASSWORD}";'
           for mechanism in MECHANISMS},
    }


def certificate(folder, name, subject):
    """A key and a certificate that the authority signs, for this machine's names."""
    request = folder / "keys" / f"{subject}.csr"
    names = folder / "keys" / "names"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}",
            "-keyout", name.with_suffix(".key"), "-out", request)
    openssl("x509", "-req", "-days", "3650", "-in", request, "-CA", folder / "client" / "ca.pem",
            "-CAkey", folder / "keys" / "ca.key", "-CAcreateserial", "-extfile", names, "-out", name.with_suffix(".pem"))


def openssl(*arguments):
    told = subprocess.run([program("openssl", "openssl"), *arguments], check=False, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if told.returncode != 0:
        raise Problem(f"openssl {arguments[0]} fails:\n{told.stderr}")


def login(mechanism):
    """The module of Java's login that knows a mechanism."""
    package = "plain.Plain" if mechanism == "PLAIN" else "scram.Scram"
    return f"org.apache.kafka.common.security.{package}LoginModule required"


def write_properties(client, mechanism):
    """What a Java client, and Kafka's own tools, are told to log in."""
    lines = [f"security.protocol={'SASL_SSL' if mechanism else 'SSL'}", "ssl.truststore.type=PEM",
             f"ssl.truststore.location={client / 'ca.pem'}"]
    if mechanism:
        lines += [f"sasl.mechanism={mechanism}",
                  f'sasl.jaas.config={login(mechanism)} username="{USER}" password="{PASSWORD}";']
    name = (mechanism or "ssl").lower()
    (client / f"{name}.properties").write_text("\n".join(lines) + "\n")


def describe(folder, listeners):
    """Where the listeners are and what a client needs."""
    def addresses(name):
        return ",".join(f"127.0.0.1:{port}" for port in listeners[name])

    return (f"\nSASL_SSL {addresses('SASL_SSL')}: {', '.join(MECHANISMS)}; user {USER}, password {PASSWORD}"
            f"\nSSL      {addresses('SSL')}: a client's certificate is asked for and may be missing"
            f"\nca.pem, client.pem, client.key and properties files for Java: {folder / 'client'}")

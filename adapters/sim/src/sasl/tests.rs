use super::*;

struct Vector {
    mechanism: Mechanism,
    user: &'static str,
    password: &'static str,
    client_first: &'static str,
    server_first: &'static str,
    /// What follows `,p=` in the client's final message.
    proof: &'static str,
    server_final: &'static str,
}

const VECTORS: [Vector; 8] = [
    // kv_engine sasl (example exchange)
    Vector {
        mechanism: Mechanism::ScramSha1,
        user: "user",
        password: "pencil",
        client_first: "n,,n=user,r=d40a02e348040590",
        server_first: "r=d40a02e348040590ec8ac784d46faf9d,s=fw3GRQYlFy6QEqT5y7Of4XbGaGg=,i=10",
        proof: "co6kWwNhpVYuuFHWQv5VVcWrPJM=",
        server_final: "v=inZJ2d0Ms4dnENnHwPaqVfNn7DY=",
    },
    // IETF RFC 5802 section 5
    Vector {
        mechanism: Mechanism::ScramSha1,
        user: "user",
        password: "pencil",
        client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    // IETF RFC 7677 section 3
    Vector {
        mechanism: Mechanism::ScramSha256,
        user: "user",
        password: "pencil",
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
    // kv_engine SCRAM unit test values
    Vector {
        mechanism: Mechanism::ScramSha1,
        user: "username",
        password: "password",
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=ZP8Dc+4BGCAMitu9B7qSbjaB2fs=,i=4096",
        proof: "BgDTjduRiG2rLn++YdlWSNmMCw8=",
        server_final: "v=UfaW46lFMmrVCgnqdU1KxQVUNso=",
    },
    // kv_engine SCRAM unit test values
    Vector {
        mechanism: Mechanism::ScramSha256,
        user: "username",
        password: "password",
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=PxxruqJ4/CL3QR2fEH0ZDNqq56u8qf0eZm6YLK1aoTQ=,i=4096",
        proof: "zN1Vl3VZ03UhsHVOO2n4RHxT4js7dTn+/LcLT8Tq+JI=",
        server_final: "v=LG5RRVHh+9OfBnOctbT+89mfY3Cph/3PSebVLY/PGsI=",
    },
    // kv_engine SCRAM unit test values
    Vector {
        mechanism: Mechanism::ScramSha512,
        user: "username",
        password: "password",
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=PU0/GpqaHx9+XsECIYGuGnN9o65two+E5l3BAbisQn3smkGOIlL2OJ6hB8b5pfOETGG1v4X9/xq8SjxsGdZ3xg==,i=4096",
        proof: "hw4VUyoNvrlZjhnfXS3EeWs8SQvAa2hVgyMlT3AuZIsLivqU8ZSFD5w9iT+nWHuxC4w4xkVTz4X9bqY0hx5EJQ==",
        server_final: "v=s+JthevEfn6bno1LjNly0nJanZmL/o3Z7SbBPfWCUfd/Wdq+eXlZ5OqvnpuSJDlPl/rA92RzwNVhgif+pdPzkQ==",
    },
    // computed for this document
    Vector {
        mechanism: Mechanism::ScramSha512,
        user: "user",
        password: "pencil",
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        proof: "VUqc6osW6RpC1UhYGKpiJiHsJhx9zoaeu2VwbosgP44Z+L5wHJtbJk516F68jqQVsxVeyoDOOVZJ4aHoV4zVwQ==",
        server_final: "v=XgY5tKmDbMh+tmaKYD/U99f0NQXZT2VVb9x3h/Iykdv3w+Zsfhp0yDza2/y5NN217oPRfJvfgK15KMNAQ94cow==",
    },
    // computed for this document
    Vector {
        mechanism: Mechanism::ScramSha256,
        user: "a=b,c",
        password: "päss",
        client_first: "n,,n=a=3Db=2Cc,r=clientNONCE0123456789",
        server_first: "r=clientNONCE0123456789serverNONCE0123456789,s=AAECAwQFBgcICQoLDA0ODw==,i=15000",
        proof: "fYckNv6N9kMRftwtlvoK6eU7t2NeMIrEQ8FZ9jvwNrs=",
        server_final: "v=NbYw5eDXZLvf6WApKsww9xFVw/lL5FP+7Ur5+tu7Lt4=",
    },
];

fn client_final(vector: &Vector) -> String {
    let nonce = vector.server_first.split(',').next().unwrap();
    format!("c=biws,{nonce},p={}", vector.proof)
}

/// A server that happens to have drawn the vector's salt and nonce.
fn replay(vector: &Vector, client_final: &str) -> Step {
    let mut users = Users::new(4096, 1);
    users.set(vector.user, vector.password);
    let mut parts = vector.server_first.split(',');
    let nonce = parts.next().unwrap().strip_prefix("r=").unwrap();
    let salt = parts.next().unwrap().strip_prefix("s=").unwrap();
    let iterations = parts.next().unwrap().strip_prefix("i=").unwrap().parse().unwrap();
    let Ok(salt_bytes) = Base64::decode_vec(salt) else { panic!("salt {salt}") };
    let keys = Keys::derive(vector.mechanism, vector.password.as_bytes(), &salt_bytes, iterations);
    users.users.get_mut(vector.user).unwrap().keys.insert(vector.mechanism, keys);
    let client_nonce = vector.client_first.rsplit_once("r=").unwrap().1;
    let server_nonce = nonce.strip_prefix(client_nonce).unwrap();
    let first = users.begin_scram(vector.mechanism, vector.client_first.as_bytes(), server_nonce);
    let Step::Continue(exchange, payload) = first else { panic!("continue expected") };
    assert_eq!(payload, vector.server_first.as_bytes());
    exchange.step(client_final.as_bytes())
}

#[test]
fn scram_vectors_from_the_servers_side() {
    for vector in &VECTORS {
        let Step::Done(user, payload) = replay(vector, &client_final(vector)) else { panic!("denied") };
        assert_eq!((user.as_str(), payload), (vector.user, vector.server_final.as_bytes().to_vec()));
    }
}

#[test]
fn a_wrong_proof_or_nonce_is_denied() {
    let vector = &VECTORS[1];
    let wrong_proof = client_final(vector).replace("p=v0X8", "p=w0X8");
    assert!(matches!(replay(vector, &wrong_proof), Step::Denied));
    let wrong_nonce = client_final(vector).replace("3rfc", "3rfd");
    assert!(matches!(replay(vector, &wrong_nonce), Step::Denied));
    assert!(matches!(replay(vector, "c=biws"), Step::Malformed));
}

#[test]
fn an_unknown_user_learns_it_only_at_the_end() {
    let mut users = Users::new(10, 1);
    let Step::Continue(exchange, first) = users.begin(Mechanism::ScramSha512, b"n,,n=nobody,r=abc", 0) else {
        panic!("continue expected")
    };
    let first = String::from_utf8(first).unwrap();
    assert!(first.starts_with("r=abc") && first.ends_with(",i=10"), "{first}");
    let nonce = first.split(',').next().unwrap();
    let proof = Base64::encode_string(&[0; 64]);
    assert!(matches!(exchange.step(format!("c=biws,{nonce},p={proof}").as_bytes()), Step::Denied));
}

#[test]
fn plain_wants_exactly_three_parts_and_drops_one_trailing_zero() {
    let mut users = Users::new(10, 1);
    users.set("user", "pencil");
    let done = |payload: &[u8], users: &mut Users| users.begin(Mechanism::Plain, payload, 0);
    assert!(matches!(done(b"\0user\0pencil", &mut users), Step::Done(..)));
    assert!(matches!(done(b"\0user\0pencil\0", &mut users), Step::Done(..)));
    assert!(matches!(done(b"\0user\0pen", &mut users), Step::Denied));
    assert!(matches!(done(b"user", &mut users), Step::Malformed));
}

#[test]
fn sa_6_names_are_unescaped() {
    let (_, name, nonce) = parse_client_first(b"n,,n=a=3Db=2Cc,r=xyz").unwrap();
    assert_eq!((name.as_str(), nonce.as_str()), ("a=b,c", "xyz"));
    for bad in [&b"n,,n=a=b,r=x"[..], b"y,,n=a,r=x", b"n,,n=a,r=", b"n,,n=,r=x", b"n,,m=ext,n=a,r=x"] {
        assert!(parse_client_first(bad).is_none(), "{}", String::from_utf8_lossy(bad));
    }
}

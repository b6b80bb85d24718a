//! Published SCRAM exchanges, complete, as test data.

use base64ct::{Base64, Encoding};

use super::{Mechanism, PasswordAuthenticator, PasswordHasher, SaltRequest, SaltedPassword};

/// One exchange; the comment above each says who published it.
pub(super) struct Vector {
    pub(super) name: &'static str,
    pub(super) mechanism: Mechanism,
    pub(super) username: &'static str,
    pub(super) password: &'static str,
    pub(super) nonce: &'static str,
    pub(super) salt: &'static str,
    pub(super) iterations: u32,
    pub(super) client_first: &'static str,
    pub(super) server_first: &'static str,
    pub(super) client_final: &'static str,
    pub(super) server_final: &'static str,
    /// Hexadecimal.
    pub(super) salted_password: &'static str,
}

impl Vector {
    pub(super) fn login(&self) -> PasswordAuthenticator {
        PasswordAuthenticator::new(self.username, self.password).unwrap()
    }

    pub(super) fn request(&self) -> SaltRequest {
        SaltRequest {
            hash: self.mechanism.scram_hash().unwrap(),
            salt: Base64::decode_vec(self.salt).unwrap(),
            iterations: self.iterations,
        }
    }

    pub(super) fn salted(&self) -> SaltedPassword {
        let mut hasher = PasswordHasher::new(&self.login(), &self.request());
        while !hasher.run(1_000) {}
        hasher.finish().unwrap()
    }
}

pub(super) fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

pub(super) const VECTORS: &[Vector] = &[
    // kv_engine sasl (example exchange)
    Vector {
        name: "kv-sasl-doc",
        mechanism: Mechanism::ScramSha1,
        username: "user",
        password: "pencil",
        nonce: "d40a02e348040590",
        salt: "fw3GRQYlFy6QEqT5y7Of4XbGaGg=",
        iterations: 10,
        client_first: "n,,n=user,r=d40a02e348040590",
        server_first: "r=d40a02e348040590ec8ac784d46faf9d,s=fw3GRQYlFy6QEqT5y7Of4XbGaGg=,i=10",
        client_final: "c=biws,r=d40a02e348040590ec8ac784d46faf9d,p=co6kWwNhpVYuuFHWQv5VVcWrPJM=",
        server_final: "v=inZJ2d0Ms4dnENnHwPaqVfNn7DY=",
        salted_password: "6ed125b4c87685c33cd6cf37df9aa516494195ff",
    },
    // IETF RFC 5802 section 5
    Vector {
        name: "rfc5802",
        mechanism: Mechanism::ScramSha1,
        username: "user",
        password: "pencil",
        nonce: "fyko+d2lbbFgONRv9qkxdawL",
        salt: "QSXCR+Q6sek8bf92",
        iterations: 4096,
        client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        salted_password: "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d",
    },
    // IETF RFC 7677 section 3
    Vector {
        name: "rfc7677",
        mechanism: Mechanism::ScramSha256,
        username: "user",
        password: "pencil",
        nonce: "rOprNGfwEbeRWgbNEkqO",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        iterations: 4096,
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        salted_password: "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d",
    },
    // kv_engine SCRAM unit test values
    Vector {
        name: "kv-test-sha1",
        mechanism: Mechanism::ScramSha1,
        username: "username",
        password: "password",
        nonce: "fyko+d2lbbFgONRv9qkxdawL",
        salt: "ZP8Dc+4BGCAMitu9B7qSbjaB2fs=",
        iterations: 4096,
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=ZP8Dc+4BGCAMitu9B7qSbjaB2fs=,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=BgDTjduRiG2rLn++YdlWSNmMCw8=",
        server_final: "v=UfaW46lFMmrVCgnqdU1KxQVUNso=",
        salted_password: "55c129458a8340dbccc4f24469d3ce49a83dea13",
    },
    // kv_engine SCRAM unit test values
    Vector {
        name: "kv-test-sha256",
        mechanism: Mechanism::ScramSha256,
        username: "username",
        password: "password",
        nonce: "fyko+d2lbbFgONRv9qkxdawL",
        salt: "PxxruqJ4/CL3QR2fEH0ZDNqq56u8qf0eZm6YLK1aoTQ=",
        iterations: 4096,
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=PxxruqJ4/CL3QR2fEH0ZDNqq56u8qf0eZm6YLK1aoTQ=,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=zN1Vl3VZ03UhsHVOO2n4RHxT4js7dTn+/LcLT8Tq+JI=",
        server_final: "v=LG5RRVHh+9OfBnOctbT+89mfY3Cph/3PSebVLY/PGsI=",
        salted_password: "9e89fee1e610bb5f3bb126589251c0017eacc55e489d395b31098aa98e72c6fb",
    },
    // kv_engine SCRAM unit test values
    Vector {
        name: "kv-test-sha512",
        mechanism: Mechanism::ScramSha512,
        username: "username",
        password: "password",
        nonce: "fyko+d2lbbFgONRv9qkxdawL",
        salt: "PU0/GpqaHx9+XsECIYGuGnN9o65two+E5l3BAbisQn3smkGOIlL2OJ6hB8b5pfOETGG1v4X9/xq8SjxsGdZ3xg==",
        iterations: 4096,
        client_first: "n,,n=username,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=PU0/GpqaHx9+XsECIYGuGnN9o65two+E5l3BAbisQn3smkGOIlL2OJ6hB8b5pfOETGG1v4X9/xq8SjxsGdZ3xg==,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=hw4VUyoNvrlZjhnfXS3EeWs8SQvAa2hVgyMlT3AuZIsLivqU8ZSFD5w9iT+nWHuxC4w4xkVTz4X9bqY0hx5EJQ==",
        server_final: "v=s+JthevEfn6bno1LjNly0nJanZmL/o3Z7SbBPfWCUfd/Wdq+eXlZ5OqvnpuSJDlPl/rA92RzwNVhgif+pdPzkQ==",
        salted_password: "23325dc5815c06ec28a13737d277985d2102ca0796a1d5ea70838679f7b9d73f6bb0c2231712c9274af4a9b6ed0d70711f980fe747bc3114dbd6e44a2b2d9d56",
    },
    // computed with Python's `hashlib` and `hmac`
    Vector {
        name: "computed-sha512-pencil",
        mechanism: Mechanism::ScramSha512,
        username: "user",
        password: "pencil",
        nonce: "rOprNGfwEbeRWgbNEkqO",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        iterations: 4096,
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,p=VUqc6osW6RpC1UhYGKpiJiHsJhx9zoaeu2VwbosgP44Z+L5wHJtbJk516F68jqQVsxVeyoDOOVZJ4aHoV4zVwQ==",
        server_final: "v=XgY5tKmDbMh+tmaKYD/U99f0NQXZT2VVb9x3h/Iykdv3w+Zsfhp0yDza2/y5NN217oPRfJvfgK15KMNAQ94cow==",
        salted_password: "f16efe1be67f1d09502ebd5ed9262fddffba5a377ab4f0b687e5ed5ba0f50686b8a4ae166476da8ab3b951d2fa9238b63998f45461bc33a464814949cec9631d",
    },
    // computed with Python's `hashlib` and `hmac`
    Vector {
        name: "computed-escaped-username",
        mechanism: Mechanism::ScramSha256,
        username: "a=b,c",
        password: "päss",
        nonce: "clientNONCE0123456789",
        salt: "AAECAwQFBgcICQoLDA0ODw==",
        iterations: 15_000,
        client_first: "n,,n=a=3Db=2Cc,r=clientNONCE0123456789",
        server_first: "r=clientNONCE0123456789serverNONCE0123456789,s=AAECAwQFBgcICQoLDA0ODw==,i=15000",
        client_final: "c=biws,r=clientNONCE0123456789serverNONCE0123456789,p=fYckNv6N9kMRftwtlvoK6eU7t2NeMIrEQ8FZ9jvwNrs=",
        server_final: "v=NbYw5eDXZLvf6WApKsww9xFVw/lL5FP+7Ur5+tu7Lt4=",
        salted_password: "fbf65249eb207dd3fbb06dd4c2bad691e309f7ee08024775806ee866893ef00c",
    },
];

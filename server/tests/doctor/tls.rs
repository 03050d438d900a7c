//! `tradewire doctor` over TLS, with an authority that `openssl` makes up.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::redis::{Folder, Redis, Visit, visit_with};

/// An authority, and a certificate of its own for 127.0.0.1 and localhost.
struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    fn make(folder: &Folder) -> Self {
        let path = |name: &str| folder.0.join(name);
        let made = Self {
            authority: path("ca.pem"),
            certificate: path("cert.pem"),
            key: path("key.pem"),
        };
        let (authority_key, request, names) = (path("ca.key"), path("cert.csr"), path("names"));
        let extensions = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
        std::fs::write(&names, extensions).unwrap();
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        openssl(|openssl| {
            openssl
                .args(["req", "-x509", "-days", "2", "-subj", "/CN=Test authority"])
                .args(key)
                .args(["-addext", "keyUsage=critical,keyCertSign"])
                .arg("-keyout")
                .arg(&authority_key)
                .arg("-out")
                .arg(&made.authority)
        });
        openssl(|openssl| {
            openssl
                .args(["req", "-subj", "/CN=localhost"])
                .args(key)
                .arg("-keyout")
                .arg(&made.key)
                .arg("-out")
                .arg(&request)
        });
        openssl(|openssl| {
            openssl
                .args(["x509", "-req", "-days", "2", "-set_serial", "2"])
                .arg("-in")
                .arg(&request)
                .arg("-CA")
                .arg(&made.authority)
                .arg("-CAkey")
                .arg(&authority_key)
                .arg("-extfile")
                .arg(&names)
                .arg("-out")
                .arg(&made.certificate)
        });
        made
    }
}

fn openssl(args: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = Command::new("openssl");
    let ended = args(&mut command).stderr(Stdio::null()).status();
    assert!(ended.expect("openssl is needed").success(), "{command:?}");
}

fn start(made: &Certificates, clients: &str) -> Redis {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (authority, certificate) = (text(&made.authority), text(&made.certificate));
    let key = text(&made.key);
    let options = [
        "--port",
        "0",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        clients,
    ];
    Redis::start_at("--tls-port", "tls", &options)
}

fn visit(url: &str, authority: Option<&Path>) -> Visit {
    let mut variables = vec![("REDIS_URL", url.as_ref())];
    variables.extend(authority.map(|authority| ("SSL_CERT_FILE", authority)));
    visit_with(&variables)
}

#[test]
fn tls_is_spoken_with_who_a_trusted_authority_vouches_for() {
    let folder = Folder::new("tls-trusted");
    let made = Certificates::make(&folder);
    let redis = start(&made, "no");
    let tls = |host: &str| format!("rediss://{host}:{}", redis.port);
    let trusted = Some(made.authority.as_path());

    for host in ["127.0.0.1", "localhost"] {
        let visit = visit(&tls(host), trusted);
        assert_eq!(visit.code, 0, "{}", visit.out);
        visit.expect("ok ", "connect", &["over TLS"]);
        visit.expect("ok ", "pub/sub", &[]);
    }

    let untrusted = visit(&tls("127.0.0.1"), None);
    assert_eq!(untrusted.code, 1);
    untrusted.expect("fail ", "tls", &["SSL_CERT_FILE"]);

    let nobody = visit(&tls("127.0.0.1"), Some(Path::new("/dev/null")));
    assert_eq!(nobody.code, 1);
    nobody.expect(
        "fail ",
        "tls",
        &["no certificate authorities", "SSL_CERT_FILE"],
    );

    let plain = visit(&format!("redis://127.0.0.1:{}", redis.port), None);
    assert_eq!(plain.code, 1);
    plain.expect("fail ", "connect", &["write rediss://"]);
}

#[test]
fn tls_where_none_is_spoken_or_clients_need_certificates_is_explained() {
    let folder = Folder::new("tls-explained");
    let made = Certificates::make(&folder);
    let trusted = Some(made.authority.as_path());
    let redis = Redis::start("plain", &[]);
    let plain = visit(&format!("rediss://127.0.0.1:{}", redis.port), trusted);
    assert_eq!(plain.code, 1);
    // Redis takes what TLS begins with for a command that is not complete.
    plain.expect("fail ", "connect", &["or does not (redis://)"]);

    let redis = start(&made, "yes");
    let refused = visit(&format!("rediss://127.0.0.1:{}", redis.port), trusted);
    assert_eq!(refused.code, 1);
    refused.expect("fail ", "tls", &["tls-auth-clients no"]);
}

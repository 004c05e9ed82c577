//! The real AWS CLI against moto's EC2 server: what it prints is what the catalogue reads.
#![allow(clippy::unwrap_used, reason = "what cannot be set up fails its test")]

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use testbed::built;
use testbed::package::PythonPrograms;
use tests::eventually;
use tests::third_party::{Program, programs};

/// An account with a region of its own.
struct Account {
    aws: PythonPrograms,
    port: u16,
    folder: tempfile::TempDir,
    _moto: Program,
}

impl Account {
    fn open() -> Self {
        let aws = programs("aws");
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new(aws.program("moto_server"));
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        let moto = Program::start(&mut command, &folder.path().join("moto.log"));
        eventually("moto listens", || {
            TcpStream::connect(("127.0.0.1", port)).map_err(|error| format!("{error}\n{}", moto.log()))
        });
        Self {
            aws,
            port,
            folder,
            _moto: moto,
        }
    }

    /// The command line of `aws ec2 ..`, as an operator's shell has it.
    fn command(&self, arguments: &str) -> String {
        format!(
            "AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true \
             AWS_CONFIG_FILE=/nonexistent {} --endpoint-url http://127.0.0.1:{} ec2 {arguments}",
            self.aws.program("aws").display(),
            self.port
        )
    }

    fn run(&self, arguments: &str) -> Value {
        let printed = shell(self.folder.path(), &self.command(arguments));
        serde_json::from_str(&printed).unwrap_or(Value::Null)
    }

    fn create(&self, zone: &str, tags: &str) -> String {
        let tags = format!("--tag-specifications 'ResourceType=volume,Tags=[{tags}]'");
        let created = self.run(&format!("create-volume --size 8 --availability-zone {zone} {tags}"));
        created["VolumeId"].as_str().unwrap().to_owned()
    }

    /// What label-mapper makes of a volume's name, with the catalogue from this command.
    fn explain(&self, name: &str, describe: &str) -> Result<Value, String> {
        let mapper = built("label-mapper", "label-mapper").unwrap_or_else(|error| panic!("{error}"));
        let output = Command::new(mapper)
            .args([
                "explain",
                name,
                "--json",
                "--catalogue-command",
                &self.command(describe),
            ])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    listener.local_addr().unwrap_or_else(|error| panic!("{error}")).port()
}

fn shell(folder: &Path, command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn third_party_aws_cli_prints_what_the_catalogue_reads() {
    let account = Account::open();
    let orders = account.create("us-east-1a", "{Key=Name,Value=orders},{Key=Team,Value=sales}");
    account.create("us-east-1b", "{Key=Team,Value=nobody}");
    let plan = account.create("us-east-1b", "{Key=Name,Value=plan}");
    let image = account.run("describe-images --query 'Images[0].ImageId'");
    let image = image.as_str().unwrap();
    let launched = account.run(&format!(
        "run-instances --image-id {image} --placement AvailabilityZone=us-east-1b --instance-type t3.micro"
    ));
    let instance = launched["Instances"][0]["InstanceId"].as_str().unwrap();
    account.run(&format!(
        "attach-volume --volume-id {plan} --instance-id {instance} --device /dev/xvdf"
    ));

    for describe in [
        "describe-volumes",
        "describe-volumes --output yaml",
        "describe-volumes --query 'Volumes[]'",
        "describe-volumes --page-size 2",
        "describe-volumes --filters Name=tag-key,Values=Name",
    ] {
        // Version 1 of the CLI has no YAML.
        if describe.contains("yaml") && account.aws_major() < 2 {
            continue;
        }
        let found = account
            .explain("orders", describe)
            .unwrap_or_else(|error| panic!("{describe}: {error}"));
        let text = found.to_string();
        assert!(
            text.contains(&orders) && text.contains("us-east-1a"),
            "{describe}: {text}"
        );
        let found = account
            .explain("plan", describe)
            .unwrap_or_else(|error| panic!("{describe}: {error}"));
        let text = found.to_string();
        assert!(text.contains(&plan) && text.contains(instance), "{describe}: {text}");
    }
    for (describe, words) in [
        ("describe-volumes --output text", "json"),
        ("describe-volumes --output table", "json"),
        ("describe-volumes --max-items 1", "NextToken"),
    ] {
        let refused = account.explain("orders", describe).unwrap_err();
        assert!(refused.contains(words), "{describe}: {refused}");
    }
    let second = account.create("us-east-1b", "{Key=Name,Value=orders}");
    let refused = account.explain("orders", "describe-volumes").unwrap_err();
    assert!(refused.contains(&orders) && refused.contains(&second), "{refused}");
    account.run(&format!("delete-volume --volume-id {second}"));
    account
        .explain("orders", "describe-volumes")
        .unwrap_or_else(|error| panic!("{error}"));
}

impl Account {
    fn aws_major(&self) -> u32 {
        let printed = shell(
            self.folder.path(),
            &format!("{} --version 2>&1", self.aws.program("aws").display()),
        );
        let version = printed.trim_start_matches("aws-cli/");
        version
            .split('.')
            .next()
            .unwrap_or_default()
            .parse()
            .unwrap_or_else(|error| panic!("{printed}: {error}"))
    }
}

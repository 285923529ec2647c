//! Watches the health of a server with a key, and says how that ends.
//!
//! ```sh
//! cargo run -- http://127.0.0.1:50051 KEY
//! ```

use std::error::Error;

use tonic::Request;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("pass the URL of a server and a key".into());
    };
    let mut client = HealthClient::new(Channel::from_shared(url)?.connect().await?);
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("x-api-key", key.parse()?);
    let mut watched = client.watch(request).await?.into_inner();
    loop {
        match watched.message().await {
            Ok(Some(_)) => {}
            Ok(None) => break println!("complete"),
            Err(status) => break println!("{} {}", i32::from(status.code()), status.message()),
        }
    }
    Ok(())
}

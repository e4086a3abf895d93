use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

/// A job of one frame with these bytes; answers the frame's address without its last part.
async fn frame(node: &TestNode, client: &Client, bytes: &[u8]) -> String {
    let job = client.new_job(&json!({"name": "a"})).await;
    let (status, body) = client.upload(&job, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let content = node.store(bytes).await;
    node.commit_frame(&job, 0, content, bytes.len() as u64)
        .await;
    let path = format!("/api/jobs/{job}/files?kind=frame");
    let (_, files) = client.get(&path).await;
    let url = files["files"][0]["url"].as_str().unwrap();
    url.strip_suffix("/download").unwrap().to_owned()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    DynamicImage::new_rgb8(width, height)
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .unwrap();
    bytes
}

#[tokio::test]
async fn a_frame_has_a_small_picture_that_is_sent_once() {
    let node = TestNode::start().await;
    let client = node.operator();
    let url = frame(&node, &client, &png(640, 360)).await;
    let path = format!("{url}/preview?width=320");
    let preview = client.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(preview.status(), StatusCode::OK);
    let headers = preview.headers().clone();
    assert_eq!(headers[CONTENT_TYPE], "image/jpeg");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("sandbox;"));
    let picture = image::load_from_memory(&preview.bytes().await.unwrap()).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 180));

    let again = client
        .request(Method::GET, &path)
        .header(IF_NONE_MATCH, &headers[ETAG]);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let other_width = client
        .request(Method::GET, &format!("{url}/preview?width=64"))
        .header(IF_NONE_MATCH, &headers[ETAG]);
    assert_eq!(other_width.send().await.unwrap().status(), StatusCode::OK);
    for width in ["63", "1025", "-1", "x"] {
        let (status, _) = client.get(&format!("{url}/preview?width={width}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{width}");
    }
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_picture_has_no_preview_and_harms_nobody() {
    let node = TestNode::start().await;
    let client = node.operator();
    let whole = png(640, 360);
    for bytes in [&b"<script>alert(1)</script>"[..], &whole[..whole.len() / 2]] {
        let url = frame(&node, &client, bytes).await;
        let (status, body) = client.get(&format!("{url}/preview")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(problem(&body), "no-preview");
    }
    let job = client.new_job(&json!({"name": "a"})).await;
    let (_, scene) = client.upload(&job, scene(1, 1, 10)).await;
    let path = format!(
        "/api/jobs/{job}/files/{}/preview",
        scene["id"].as_str().unwrap()
    );
    let (status, body) = client.get(&path).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    node.stop().await;
}

"""Random chains of blur, resizing, noise and JPEG, which degrade LR like cameras, programs and web sites."""
